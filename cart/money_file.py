"""A page's transfers as a CSV file for a spreadsheet; used by the money pages."""

import csv
from collections.abc import Iterable
from io import StringIO
from zoneinfo import ZoneInfo

from cart.books_views import MONEY_WORDS, Row
from shared.money import to_major

COLUMNS = ("When", "What", "Order", "Buyer", "Reference", "Currency", "Amount")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP: CSV injection)."""


def money_file(rows: Iterable[Row], time_zone: str) -> str:
    """One line for each transfer, times in the page's zone, amounts in major units with a point."""
    zone, text = ZoneInfo(time_zone), StringIO()
    written = csv.writer(text)
    written.writerow(COLUMNS)
    for row in rows:
        cells = (
            MONEY_WORDS[row.kind],
            row.order_number or "",
            row.email or "",
            row.reference,
            row.currency,
        )
        at = row.at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
        written.writerow((at, *map(harmless, cells), to_major(row.amount, row.currency)))
    return text.getvalue()


def harmless(text: str) -> str:
    """A text that no spreadsheet carries out: a buyer chooses their own e-mail address."""
    return f"'{text}" if text.startswith(FORMULA) else text
