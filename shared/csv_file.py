"""Rows as a CSV file that a spreadsheet opens and does not carry out, written while they are read (spec: L1, J7).

Used by the pages that offer one. Rows come a batch at a time, so that a million of them take no more memory than a
thousand, and nothing of the database is held while a slow client takes what is ready.
"""

import asyncio
import csv
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from io import StringIO
from zoneinfo import ZoneInfo

from shared.clock import comes_twice

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP: CSV injection)."""

CONTENT_TYPE = "text/csv; charset=utf-8"
BOM = "\ufeff"
"""Without it Excel takes UTF-8 for something else."""
BATCH = 200
"""Rows read, written and let go at a time: seven milliseconds (make bench) during which nobody else is served."""
BREATH = 0.005
"""Seconds after each batch in which others are served and nothing of the file is done."""


async def csv_file(
    columns: Sequence[str], batches: AsyncIterator[Iterable[Sequence[object]]]
) -> AsyncIterator[bytes]:
    """A head and its rows. Texts are made harmless: a buyer chooses their own e-mail address; numbers stay numbers."""
    yield (BOM + _lines([columns])).encode()
    async for batch in batches:
        yield _lines(batch).encode()
        await asyncio.sleep(BREATH)  # else each of the steps of another's request would wait for a batch


def _lines(rows: Iterable[Sequence[object]]) -> str:
    text = StringIO()
    written = csv.writer(text)
    for row in rows:
        written.writerow(harmless(cell) if isinstance(cell, str) else cell for cell in row)
    return text.getvalue()


def harmless(text: str) -> str:
    """A text that no spreadsheet carries out."""
    return f"'{text}" if text.startswith(FORMULA) else text


def as_time(moment: datetime | None, time_zone: str) -> str:
    """A time that a spreadsheet reads as one: local, without its offset; the column's head names the zone.

    In the hour that the clocks go through twice it has its offset: 2026-10-25 02:30:00+02:00, or an hour later +01:00.
    """
    if moment is None:
        return ""
    local = moment.astimezone(ZoneInfo(time_zone))
    said = local.isoformat(" ", "seconds")
    return said if comes_twice(local) else said[: len("2026-10-25 02:30:00")]


def as_download(name: str) -> dict[str, str]:
    """The header that makes a browser keep the answer as a file of this name."""
    return {"Content-Disposition": f'attachment; filename="{name}.csv"'}
