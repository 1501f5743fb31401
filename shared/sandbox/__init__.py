"""Local stand-ins for what the program talks to: payments, mail. Only the command line and tests import them."""
