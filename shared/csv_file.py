"""Rows as a CSV file that a spreadsheet opens and does not carry out; used by the pages that offer one."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP: CSV injection)."""

CONTENT_TYPE = "text/csv; charset=utf-8"


def csv_file(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A head and its rows. Texts are made harmless: a buyer chooses their own e-mail address; numbers stay numbers."""
    text = StringIO()
    written = csv.writer(text)
    written.writerow(columns)
    for row in rows:
        written.writerow(harmless(cell) if isinstance(cell, str) else cell for cell in row)
    return text.getvalue()


def harmless(text: str) -> str:
    """A text that no spreadsheet carries out."""
    return f"'{text}" if text.startswith(FORMULA) else text


def as_download(name: str) -> dict[str, str]:
    """The header that makes a browser keep the answer as a file of this name."""
    return {"Content-Disposition": f'attachment; filename="{name}.csv"'}
