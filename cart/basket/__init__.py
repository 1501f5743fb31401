"""The cart's page and what can be done there; to buy what is in it is the road of the folder above."""
