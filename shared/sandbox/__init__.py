"""Local stand-ins for what the program talks to: payments, mail. Only commands and tests import them."""
