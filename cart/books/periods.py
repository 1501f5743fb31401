"""A period in an address: `?month=2026-11`, `?from=2026-11-01&to=2026-11-15`, or all time; in a page's time zone."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.errors import Invalid

FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2999, 12, 31)
"""What anybody can mean; at the calendar's own ends a day has no midnight in another time zone."""


class NoPeriod(Invalid):
    """That is not a period. Please choose a month, or days such as 2026-11-01 to 2026-11-15."""


@dataclass(frozen=True, slots=True)
class Period:
    """From the beginning of a day to the end of another; None = open. Moments are UTC."""

    first: date | None = None
    last: date | None = None
    time_zone: str = "UTC"
    month: str = ""
    """Set where it is exactly one month, such as 2026-11."""

    @property
    def begins(self) -> datetime | None:
        """The first moment."""
        return None if self.first is None else _midnight(self.first, self.time_zone)

    @property
    def ends(self) -> datetime | None:
        """The first moment after it."""
        return None if self.last is None else _midnight(self.last + timedelta(days=1), self.time_zone)

    @property
    def last_day(self) -> datetime | None:
        """The first moment of its last day, to be said in words."""
        return None if self.last is None else _midnight(self.last, self.time_zone)

    def has(self, moment: datetime) -> bool:
        """Whether a moment is within it."""
        begins, ends = self.begins, self.ends
        return (begins is None or begins <= moment) and (ends is None or moment < ends)

    @property
    def query(self) -> dict[str, str]:
        """As parameters of an address."""
        if self.month:
            return {"month": self.month}
        return {name: str(day) for name, day in (("from", self.first), ("to", self.last)) if day is not None}


def read_period(args: Mapping[str, str], time_zone: str) -> Period:
    """The period that an address asks for. Raises NoPeriod."""
    try:
        period = _read(args, time_zone)
    except (ValueError, OverflowError) as error:
        raise NoPeriod from error
    if not all(FIRST_DAY <= day <= LAST_DAY for day in (period.first, period.last) if day):
        raise NoPeriod
    if period.first and period.last and period.last < period.first:
        raise NoPeriod("The period ends before it begins. Please look at its days again.")
    return period


def _read(args: Mapping[str, str], time_zone: str) -> Period:
    if month := args.get("month", ""):
        first = date.fromisoformat(f"{month}-01")
        following = (first + timedelta(days=31)).replace(day=1)
        return Period(first, following - timedelta(days=1), time_zone, month)
    begins, ends = (date.fromisoformat(args[name]) if args.get(name) else None for name in ("from", "to"))
    return Period(begins, ends, time_zone)


def _midnight(day: date, time_zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(time_zone)).astimezone(UTC)
