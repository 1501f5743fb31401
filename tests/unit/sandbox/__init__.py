"""The Stripe stand-in, driven through the unmodified SDK."""
