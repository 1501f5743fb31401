"""What both domains stand on: web shell, database, identity, payments, contracts. Knows no domain and imports none."""
