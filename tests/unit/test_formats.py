"""Money, dates and states as people say them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from jinja2 import Environment

from shared import formats
from shared.contracts.states import OrderStanding, OrderState, TicketState

EVENING = datetime(2026, 12, 11, 19, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("starts_at", "hours", "zone", "words"),
    [
        (EVENING, 3, "Europe/Vienna", "Friday 11 December 2026, 20:00–23:00 (Vienna)"),
        # past midnight is still the same evening
        (EVENING, 7, "Europe/Vienna", "Friday 11 December 2026, 20:00–03:00 (Vienna)"),
        (
            EVENING,
            47,
            "Europe/Vienna",
            "Friday 11 December 2026, 20:00 – Sunday 13 December 2026, 19:00 (Vienna)",
        ),
        # another zone, another date
        (EVENING, 1, "Asia/Tokyo", "Saturday 12 December 2026, 04:00–05:00 (Tokyo)"),
        # the clock goes forward at 02:00: the hours are those on the wall
        (
            datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
            1,
            "Europe/Vienna",
            "Sunday 29 March 2026, 01:30–03:30 (Vienna)",
        ),
        (EVENING, 1, "UTC", "Friday 11 December 2026, 19:00–20:00 (UTC)"),
    ],
)
def test_when_is_said_in_the_zone_of_the_place(
    starts_at: datetime, hours: int, zone: str, words: str
) -> None:
    assert formats.when(starts_at, starts_at + timedelta(hours=hours), zone) == words


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("America/New_York", "New York"),
        ("Asia/Ho_Chi_Minh", "Ho Chi Minh"),
        ("America/St_Johns", "St. John’s"),
        ("Etc/UTC", "UTC"),
    ],
)
def test_zone_is_named_by_its_city(zone: str, name: str) -> None:
    assert formats.zone_name(zone) == name


def test_short_forms() -> None:
    assert formats.date_long(EVENING, "Europe/Vienna") == "Friday 11 December 2026"
    assert formats.date_short(EVENING, "Europe/Vienna") == "Fri 11 Dec"
    assert formats.clock_time(EVENING, "Europe/Vienna") == "20:00"


@pytest.mark.parametrize(
    ("minor", "amount", "currency", "words"),
    [
        (123450, "1234.50", "EUR", "€1,234.50"),
        (1200, "1200", "JPY", "¥1,200"),
        (1250, "1.250", "KWD", "KWD\N{NO-BREAK SPACE}1.250"),
    ],
)
def test_money_in_minor_and_major_units(minor: int, amount: str, currency: str, words: str) -> None:
    assert formats.money(minor, currency) == words
    assert formats.cost(Decimal(amount), currency) == words


def test_every_state_has_words() -> None:
    """No code reaches a buyer without its meaning (spec: B14)."""
    assert all(formats.state_words(state) for state in TicketState)
    assert all(formats.state_words(state) for state in (*OrderState, *OrderStanding))
    assert formats.state_words("pending") == "In your cart"
    assert formats.state_words("pending", "order") == "Not paid yet"
    assert formats.state_words(OrderState.PENDING) == "Not paid yet"


def test_asset_changes_its_address_with_its_content() -> None:
    assert formats.asset("css/tokens.css").startswith("/static/css/tokens.css?v=")
    assert formats.asset("vendor/not-there.js") == "/static/vendor/not-there.js"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 minute"), (60, "1 minute"), (61, "2 minutes"), (7200, "120 minutes"), (7201, "2 hours")],
)
def test_how_long_something_is_still_held(seconds: int, words: str) -> None:
    until = EVENING + timedelta(seconds=seconds)
    assert formats.time_left(until, EVENING) == f"{words} left"
    assert formats.seconds_left(EVENING, until) == 0


def test_mails_get_the_same_filters() -> None:
    environment = Environment(autoescape=True)
    formats.install(environment)
    assert environment.from_string("{{ 1250|money('EUR') }}").render() == "€12.50"


@pytest.mark.parametrize(
    ("utc", "time_zone", "said"),
    [
        ("2026-10-25T00:30", "Europe/Vienna", "02:30 (CEST)"),
        ("2026-10-25T01:30", "Europe/Vienna", "02:30 (CET)"),
        ("2026-10-25T02:00", "Europe/Vienna", "03:00"),
        ("2026-03-29T01:30", "Europe/Vienna", "03:30"),
        ("2026-11-01T05:30", "America/New_York", "01:30 (EDT)"),
        ("2026-10-25T00:30", "Asia/Tokyo", "09:30"),
    ],
)
def test_a_doubled_hour_says_which(utc: str, time_zone: str, said: str) -> None:
    """When the clocks go back there are two half past twos (cal.com 1092)."""
    assert formats.clock_time(datetime.fromisoformat(utc).replace(tzinfo=UTC), time_zone) == said
