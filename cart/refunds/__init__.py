"""Money that goes back: owed, sent, heard of, and decided about by people."""
