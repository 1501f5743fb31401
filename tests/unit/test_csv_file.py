"""A file for a spreadsheet: times that it reads as such, and that mean one moment each."""

from datetime import UTC, datetime

import pytest

from shared.csv_file import as_time


@pytest.mark.parametrize(
    ("utc", "time_zone", "cell"),
    [
        ("2026-10-25T00:30", "Europe/Berlin", "2026-10-25 02:30:00+02:00"),
        ("2026-10-25T01:30", "Europe/Berlin", "2026-10-25 02:30:00+01:00"),
        ("2026-10-24T23:59:59.9", "Europe/Berlin", "2026-10-25 01:59:59"),
        ("2026-10-25T02:00", "Europe/Berlin", "2026-10-25 03:00:00"),
        ("2026-03-29T01:30", "Europe/Berlin", "2026-03-29 03:30:00"),
        ("2026-11-01T06:30", "America/New_York", "2026-11-01 01:30:00-05:00"),
        ("2026-10-25T00:30", "UTC", "2026-10-25 00:30:00"),
    ],
)
def test_a_time_of_a_doubled_hour_has_its_offset(utc: str, time_zone: str, cell: str) -> None:
    """Two moments an hour apart were the same cell; all others stay as a spreadsheet reads a time."""
    assert as_time(datetime.fromisoformat(utc).replace(tzinfo=UTC), time_zone) == cell


def test_no_time_is_an_empty_cell() -> None:
    assert as_time(None, "Europe/Berlin") == ""
