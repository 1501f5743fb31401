"""Money: no cent is lost in converting, formatting or splitting."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import (
    AmbiguousAmount,
    Money,
    NoAmount,
    exponent,
    format_minor,
    read_minor,
    split,
    split_by,
    to_major,
    to_minor,
)

CURRENCIES = st.sampled_from(["EUR", "USD", "JPY", "KWD", "CHF"])


@given(st.integers(min_value=-(10**12), max_value=10**12), CURRENCIES)
def test_there_and_back(minor: int, currency: str) -> None:
    """Minor → major → minor is exact in every currency."""
    assert to_minor(to_major(minor, currency), currency) == minor


@pytest.mark.parametrize(("currency", "places"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("jpy", 0)])
def test_places(currency: str, places: int) -> None:
    """Zero- and three-decimal currencies (spec: B4; peers: pretix 783)."""
    assert exponent(currency) == places


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [(1250, "EUR", "€12.50"), (1200, "JPY", "¥1,200"), (1250, "KWD", "KWD 1.250"), (0, "USD", "$0.00")],
)
def test_for_people(minor: int, currency: str, words: str) -> None:
    """As people write it."""
    assert format_minor(minor, currency).replace("\N{NO-BREAK SPACE}", " ") == words


def test_half_up() -> None:
    """Half a cent goes up, as shops do it."""
    assert [to_minor(Decimal(text), "EUR") for text in ("0.005", "0.0149", "2.675")] == [1, 1, 268]


@pytest.mark.parametrize("amount", ["NaN", "Infinity"])
def test_not_an_amount(amount: str) -> None:
    """Nothing that is not a number becomes money."""
    with pytest.raises(ValueError, match="not an amount"):
        to_minor(Decimal(amount), "EUR")


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=1, max_value=500))
def test_split_adds_up(minor: int, parts: int) -> None:
    """Parts add up exactly and differ by at most one unit."""
    pieces = split(minor, parts)
    assert (len(pieces), sum(pieces)) == (parts, minor)
    assert max(pieces) - min(pieces) <= 1


def test_currencies_do_not_mix() -> None:
    """Adding euros to yen is a bug, not a sum."""
    assert Money(1, "EUR") + Money(2, "EUR") == Money(3, "EUR")
    with pytest.raises(ValueError, match="cannot add"):
        Money(1, "EUR") + Money(1, "JPY")


@given(
    st.integers(min_value=0, max_value=10**9), st.lists(st.integers(min_value=0, max_value=10**6), min_size=1)
)
def test_split_in_proportion(minor: int, weights: list[int]) -> None:
    """Nothing is lost, nobody is a cent or more away from their share, and no share exceeds a weight it fits into."""
    if not sum(weights):
        with pytest.raises(ValueError, match="zero"):
            split_by(minor, weights)
        return
    shares = split_by(minor, weights)
    assert sum(shares) == minor
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - Decimal(minor) * weight / sum(weights)) < 1
        assert minor > sum(weights) or share <= weight


WRITTEN = ("EUR", "USD", "GBP", "JPY", "KRW", "KWD", "BHD", "CHF", "AUD", "ISK", "INR")


@given(st.integers(min_value=0, max_value=99_999_999), st.sampled_from(WRITTEN))
def test_what_a_page_writes_the_field_reads(minor: int, currency: str) -> None:
    """Thousands, sign and decimals of the currency: an amount can be copied from the page (spec: L7)."""
    assert read_minor(format_minor(minor, currency), currency) == minor
    assert read_minor(f"{to_major(minor, currency)} {currency}", currency) == minor


@pytest.mark.parametrize("typed", ["1,000", "1.000", "€1,000", "1.500"])
def test_an_amount_of_two_readings_is_refused(typed: str) -> None:
    """`1,000` gave back €1.00 of €1,500: now both readings are named, and neither is taken (spec: L7)."""
    with pytest.raises(AmbiguousAmount, match="or 1"):
        read_minor(typed, "EUR")


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [
        ("12", "EUR", 1200),
        ("12.5", "EUR", 1250),
        ("12,50", "EUR", 1250),
        ("1.000,50 €", "EUR", 100050),
        ("1 000", "EUR", 100000),
        ("1'000.50", "CHF", 100050),
        ("１２．５０", "EUR", 1250),
        ("\u200b12.50\u2069", "EUR", 1250),
        ("0.500", "EUR", 50),
        ("¥1,500", "JPY", 1500),
        ("1.500", "JPY", 1500),
        ("￥1,500", "JPY", 1500),
        ("1.250", "KWD", 1250),
        ("1,000,000.00", "EUR", 100000000),
    ],
)
def test_amounts_as_people_type_them(typed: str, currency: str, minor: int) -> None:
    """Marks, signs and digits of other scripts, where they can mean one thing only (spec: L7)."""
    assert read_minor(typed, currency) == minor


@pytest.mark.parametrize(
    "typed", ["", "-1", "1,00,000", "12.5.0", "$12", "1e3", "0,001", "12 50", "١٢", "1.5 EUR EUR"]
)
def test_what_is_no_amount(typed: str) -> None:
    """Nothing is guessed into money."""
    with pytest.raises(NoAmount):
        read_minor(typed, "EUR")
