"""What is for sale and how many are left: pages, entries, ticket types, tickets. Never imports cart."""
