"""A page's transfers as a CSV file for a spreadsheet; used by the money pages."""

from collections.abc import AsyncIterator, Sequence

from cart.books.periods import Period
from cart.books.views import MONEY_WORDS, MoneyKind, Row, rows_of_page
from shared.contracts.dtos import PageDTO
from shared.csv_file import BATCH, as_time, csv_file
from shared.database import Sessions
from shared.money import to_major
from shared.typed import shown_address

COLUMNS = ("What", "Order", "Buyer", "Reference", "Currency", "Amount")


def money_file(
    sessions: Sessions, page: PageDTO, period: Period, *, kind: MoneyKind | None, currency: str
) -> AsyncIterator[bytes]:
    """One line for each transfer, newest first, times in the page's zone, amounts in major units with a point."""
    columns = (f"When ({page.time_zone})", *COLUMNS)
    return csv_file(columns, _batches(sessions, page, period, kind, currency))


async def _batches(
    sessions: Sessions, page: PageDTO, period: Period, kind: MoneyKind | None, currency: str
) -> AsyncIterator[Sequence[Sequence[object]]]:
    """A batch at a time, each by a reading of its own: nothing stays open while the client takes it."""
    last: Row | None = None
    while True:
        async with sessions.reading() as session:
            rows = await rows_of_page(
                session, page, period, kind=kind, currency=currency, after=last, limit=BATCH
            )
        yield [_cells(row, page.time_zone) for row in rows]
        if len(rows) < BATCH:
            return
        last = rows[-1]


def _cells(row: Row, time_zone: str) -> Sequence[object]:
    return (
        as_time(row.at, time_zone),
        MONEY_WORDS[MoneyKind(row.kind)],
        row.order_number or "",
        shown_address(row.email or ""),
        row.reference,
        row.currency,
        to_major(row.amount, row.currency),
    )
