"""Money: the cart, orders, checkout attempts, payments, refunds and the ledger. Never imports events."""
