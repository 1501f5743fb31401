"""The reconciler: all that Stripe says held against all that we wrote, both ways; differences shown and repaired.

run.py goes through an account, every hour and when somebody asks for it (asking.py): listing.py asks Stripe with
nothing open, then each comparing module (sessions, money, refunds, disputes, books, orders, tickets, orphans) reads our
rows and names what differs; repairs.py holds the few ways to put something right, each through the function that
everybody else uses too. Comparing writes nothing.
"""
