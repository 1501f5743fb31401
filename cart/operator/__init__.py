"""What the operator of the shop sees: its health, its webhooks, what waits for a person."""
