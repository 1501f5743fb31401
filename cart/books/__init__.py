"""The books: ledger, balance transactions, payouts, and what is read from them."""
