"""The books: ledger, balance transactions, payouts, and the pages that show them."""
