"""All that events and cart know of each other: DTOs, protocols, shared states, and stubs. No SQL, no quart."""
