"""Users, sign-in by mailed link and code, sessions. Knows nothing of pages, tickets or orders."""
