"""A page's transfers as a CSV file for a spreadsheet; used by the money pages."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

from cart.books.views import MONEY_WORDS, Row
from shared.csv_file import csv_file
from shared.money import to_major

COLUMNS = ("When", "What", "Order", "Buyer", "Reference", "Currency", "Amount")


def money_file(rows: Iterable[Row], time_zone: str) -> str:
    """One line for each transfer, times in the page's zone, amounts in major units with a point."""
    zone = ZoneInfo(time_zone)
    return csv_file(
        COLUMNS,
        (
            (
                row.at.astimezone(zone).isoformat(sep=" ", timespec="seconds"),
                MONEY_WORDS[row.kind],
                row.order_number or "",
                row.email or "",
                row.reference,
                row.currency,
                to_major(row.amount, row.currency),
            )
            for row in rows
        ),
    )
