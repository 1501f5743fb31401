"""What is for sale and how many are left: pages, calendars, entries, ticket types, tickets. Never imports cart."""
