"""`python -m shared …`: the command line, see cli.py."""

from shared.cli import main

main()
