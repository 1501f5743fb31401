"""How money, dates and states are said to people: the filters of every template, of pages and of mails.

Dates are said in the page's time zone, never the machine's. Results are cached: pages show the same few over and over.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel.core import Locale
from babel.dates import format_datetime, get_timezone_location
from jinja2 import Environment

from shared.clock import comes_twice
from shared.contracts.states import OrderStanding, OrderState, TicketState
from shared.money import exponent, format_major, format_minor
from shared.static_files import asset
from shared.typed import shown_address
from shared.web import Tillgate

LOCALE = Locale("en")
EVENING = timedelta(
    hours=12
)  # an event that ends this soon after it began ends "at 02:00", not on another date
LONG_MINUTES = 120  # above that, a deadline is told in hours

TICKET_WORDS = {
    TicketState.PENDING: "In your cart",
    TicketState.RESERVED: "Held for you",
    TicketState.CONFIRMED: "Confirmed",
    TicketState.CHECKED_IN: "Checked in",
    TicketState.REMOVED: "Removed",
    TicketState.CANCELLED: "Cancelled",
}
ORDER_WORDS: dict[str, str] = {
    OrderState.PENDING: "Not paid yet",
    OrderState.PROCESSING: "Payment on its way",
    OrderState.PAID: "Paid",
    OrderState.FAILED: "Payment failed",
    OrderState.EXPIRED: "Not paid in time",
    OrderState.CANCELLED: "Cancelled",
    OrderStanding.DISPUTED: "Disputed",
    OrderStanding.DISPUTE_LOST: "Lost to a dispute",
    OrderStanding.REFUNDED: "Refunded",
    OrderStanding.PARTLY_REFUNDED: "Partly refunded",
    OrderStanding.GIVEN_BACK: "Given back",
}
"""By state, and by what became of one that was paid."""


def money(minor: int, currency: str) -> str:
    """Minor units for people: €12.50."""
    return format_minor(minor, currency)


def cost(amount: Decimal, currency: str) -> str:
    """Major units for people: €12.50."""
    return format_major(amount, currency)


def date_long(at: datetime, time_zone: str) -> str:
    """Friday 12 December 2026."""
    return _said(at, time_zone, "EEEE d MMMM y")


def date_short(at: datetime, time_zone: str) -> str:
    """Fri 12 Dec."""
    return _said(at, time_zone, "EEE d MMM")


def date_part(at: datetime, time_zone: str, pattern: str) -> str:
    """One part of a date by its CLDR pattern, such as `EEE`, `d` or `MMM`; for the date block."""
    return _said(at, time_zone, pattern)


@lru_cache(maxsize=8192)
def clock_time(at: datetime, time_zone: str) -> str:
    """20:14; in the hour that the clocks go through twice, 02:30 (CEST): there are two of them."""
    text, local = _said(at, time_zone, "HH:mm"), at.astimezone(ZoneInfo(time_zone))
    return f"{text} ({local.tzname()})" if comes_twice(local) else text


def when(starts_at: datetime, ends_at: datetime, time_zone: str) -> str:
    """Friday 12 December 2026, 20:00–23:00 (Vienna): a date that may be read anywhere."""
    return f"{from_to(starts_at, ends_at, time_zone)} ({zone_name(time_zone)})"


def from_to(starts_at: datetime, ends_at: datetime, time_zone: str) -> str:
    """Friday 12 December 2026, 20:00–23:00; with the second date where the end is not the same evening."""
    start = f"{date_long(starts_at, time_zone)}, {clock_time(starts_at, time_zone)}"
    end = clock_time(ends_at, time_zone)
    same_day = date_long(starts_at, time_zone) == date_long(ends_at, time_zone)
    if same_day or ends_at - starts_at < EVENING:
        return f"{start}–{end}"
    return f"{start} – {date_long(ends_at, time_zone)}, {end}"


@lru_cache(maxsize=128)
def zone_name(time_zone: str) -> str:
    """A time zone by its city, Vienna for Europe/Vienna; a zone without one (UTC) by its name."""
    if "/" not in time_zone or time_zone.startswith("Etc/"):
        return time_zone.removeprefix("Etc/")
    return get_timezone_location(time_zone, locale=LOCALE, return_city=True)


def state_words(state: str, of: str = "ticket") -> str:
    """A ticket's or an order's state (or standing) in words; `of` says which where a plain string could be either."""
    if isinstance(state, OrderState | OrderStanding) or of == "order":
        return ORDER_WORDS[state]
    return TICKET_WORDS[TicketState(state)]


def seconds_left(until: datetime, now: datetime) -> int:
    """Whole seconds until then; 0 where it is past."""
    return max(0, int((until - now).total_seconds()))


def time_left(until: datetime, now: datetime) -> str:
    """7 minutes left. hold.js says the same as time goes on."""
    minutes = math.ceil((until - now).total_seconds() / 60)
    if minutes > LONG_MINUTES:
        return f"{minutes // 60} hours left"
    return f"{counted(max(1, minutes), 'minutes')} left"


def fours(code: str) -> str:
    """A code in groups of four, to be read out and typed off."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


@lru_cache(maxsize=64)
def counted(number: int, plural: str) -> str:
    """`1 charge`, `2 charges`; for names whose plural is an s."""
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


@lru_cache(maxsize=8192)
def _said(at: datetime, time_zone: str, pattern: str) -> str:
    return format_datetime(at.astimezone(ZoneInfo(time_zone)), pattern, locale=LOCALE)


FILTERS: dict[str, Callable[..., Any]] = {
    "mailbox": shown_address,
    "money": money,
    "cost": cost,
    "currency_places": exponent,
    "date_long": date_long,
    "date_short": date_short,
    "date_part": date_part,
    "clock_time": clock_time,
    "fours": fours,
    "from_to": from_to,
    "seconds_left": seconds_left,
    "time_left": time_left,
    "when": when,
    "zone_name": zone_name,
    "state_words": state_words,
    "counted": counted,
}


def install(environment: Environment) -> None:
    """Put the filters into a template environment: the app's, and the one that renders mails."""
    environment.filters.update(FILTERS)
    environment.globals["asset"] = asset


def init_app(app: Tillgate) -> None:
    """Install the filters for the app's pages."""
    install(app.jinja_env)
