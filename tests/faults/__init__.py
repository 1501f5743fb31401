"""The shop as real processes, with people at its counter, while parts are killed and calls and webhooks get lost.

`test_faults.py` is a short run in the suite, `make soak MINUTES=n` (soak.py) a long one. See docs/reliability.md.
"""
