"""Payments on our Stripe account that bear no mark of ours and yet look like the payment of an order: kept, decided."""
