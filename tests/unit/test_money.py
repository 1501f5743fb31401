"""Money: no cent is lost in converting, formatting or splitting."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import Money, exponent, format_minor, split, split_by, to_major, to_minor

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
