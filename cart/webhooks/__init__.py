"""What arrives from Stripe: received, stored, and applied once."""
