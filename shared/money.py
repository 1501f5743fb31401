"""Money as whole minor units of a currency: conversion, formatting and splitting without losing a cent."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from babel.core import Locale
from babel.numbers import format_currency, get_currency_symbol

from shared.errors import Invalid
from shared.typed import compared

# Currencies whose minor unit is not 1/100. Source: Stripe's "supported currencies" page, zero- and three-decimal lists.
ZERO_DECIMAL = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF")
)
THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))

# Smallest charge in minor units. Source: Stripe's "minimum charge amounts" table; others are left to Stripe's answer.
MINIMUM_CHARGE = {
    "USD": 50, "EUR": 50, "GBP": 30, "CHF": 50, "CAD": 50, "AUD": 50, "NZD": 50, "SGD": 50, "BRL": 50,
    "DKK": 250, "NOK": 300, "SEK": 300, "PLN": 200, "CZK": 1500, "HUF": 17500, "RON": 200, "BGN": 100,
    "HKD": 400, "JPY": 50, "MXN": 1000, "MYR": 200, "THB": 1000, "AED": 200, "INR": 50,
}  # fmt: skip

# Amounts must be multiples of this. Source: Stripe's "supported currencies" page, three-decimal and special cases.
STEPS = {"ISK": 100, "UGX": 100} | dict.fromkeys(THREE_DECIMAL, 10)

MAXIMUM_CHARGE = 99_999_999  # Stripe: eight digits at most

_LOCALE = Locale("en")
_WHOLE = re.compile(r"[0-9]{1,12}")
_PLAIN = re.compile(r"([0-9]{1,12})(?:[.,]([0-9]{1,3}))?")
_GROUPED = re.compile(r"([1-9][0-9]{0,2})([.,' ’])([0-9]{3}(?:\2[0-9]{3}){0,2})(?:(?!\2)[.,]([0-9]{1,3}))?")


class NoAmount(Invalid):
    """Please enter an amount, such as 12.50."""


class AmbiguousAmount(Invalid):
    """That could be one of two amounts. Please write it without a mark for the thousands."""

    code = "AMBIGUOUS_AMOUNT"


def exponent(currency: str) -> int:
    """Decimal places of a currency's minor unit: 0, 2 or 3."""
    code = currency.upper()
    if code in ZERO_DECIMAL:
        return 0
    return 3 if code in THREE_DECIMAL else 2


def is_payable(minor: int, currency: str) -> bool:
    """Whether Stripe moves exactly this amount: some currencies have units that it does not."""
    return minor % STEPS.get(currency.upper(), 1) == 0


def to_minor(amount: Decimal, currency: str) -> int:
    """Major units → minor units, half up. Raises ValueError for an amount that is not finite."""
    if not amount.is_finite():
        raise ValueError(f"not an amount: {amount}")
    return int(amount.scaleb(exponent(currency)).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def to_major(minor: int, currency: str) -> Decimal:
    """Minor units → major units, exact, with the currency's decimal places."""
    return Decimal(minor).scaleb(-exponent(currency))


def read_minor(text: str, currency: str) -> int:
    """What a person typed, or copied from a page of ours, in minor units: 12.5, 12,50, €1,500.00, 1.500,00 (spec: L7).

    Never guessed: raises AmbiguousAmount, which names both readings, and NoAmount where there is none.
    """
    typed = _without_sign(compared(text), currency)
    readings = _readings(typed, currency)
    if not readings:
        example = to_major(1250 * 10 ** exponent(currency) // 100, currency)
        raise NoAmount(f"Please enter an amount in {currency}, such as {example}.", field="amount")
    if len(readings) > 1:
        either = " or ".join(str(to_major(one, currency)) for one in sorted(readings, reverse=True))
        raise AmbiguousAmount(
            f"“{typed}” could be {either}, so nothing was done. Please write {either}.", field="amount"
        )
    return readings.pop()


def _without_sign(typed: str, currency: str) -> str:
    for sign in (currency.upper(), currency.lower(), compared(get_currency_symbol(currency, _LOCALE))):
        if typed.startswith(sign) or typed.endswith(sign):
            return typed.removeprefix(sign).removesuffix(sign).strip()
    return typed


def _readings(typed: str, currency: str) -> set[int]:
    """Every amount that this can mean, in minor units; both where one mark could be for thousands or for decimals."""
    found: set[int | None] = set()
    if plain := _PLAIN.fullmatch(typed):
        found.add(_exact(plain[1], plain[2], currency))
    # three decimals after a point are how these currencies are written, by us too
    if exponent(currency) == 3 and plain and "." in typed:
        return _known(found)
    if grouped := _GROUPED.fullmatch(typed):
        first, mark, rest, decimals = grouped.groups()
        found.add(_exact(first + rest.replace(mark, ""), decimals, currency))
    return _known(found)


def _known(found: set[int | None]) -> set[int]:
    return {one for one in found if one is not None}


def _exact(units: str, decimals: str | None, currency: str) -> int | None:
    """None where the currency has nothing so small."""
    amount = Decimal(f"{units}.{decimals or 0}")
    minor = to_minor(amount, currency)
    return minor if to_major(minor, currency) == amount else None


def whole(text: str) -> int:
    """The minor units that a form of ours carries; -1, which is never an amount, for anything else."""
    return int(text) if _WHOLE.fullmatch(text) else -1


@lru_cache(maxsize=4096)
def format_minor(minor: int, currency: str) -> str:
    """Minor units for people: `€12.50`, `¥1,200`, `KWD 1.250`. Cached: prices repeat."""
    places = exponent(currency)
    gap = "\N{NO-BREAK SPACE}" if get_currency_symbol(currency, _LOCALE).isalpha() else ""
    pattern = f"¤{gap}#,##0" + ("." + "0" * places if places else "")
    return format_currency(
        to_major(minor, currency), currency, locale=_LOCALE, currency_digits=False, format=pattern
    )


def format_major(amount: Decimal, currency: str) -> str:
    """Major units for people."""
    return format_minor(to_minor(amount, currency), currency)


def split(minor: int, parts: int) -> list[int]:
    """Split an amount into `parts` that differ by at most one unit and add up exactly."""
    if parts < 1:
        raise ValueError("parts must be at least 1")
    base, rest = divmod(minor, parts)
    return [base + (1 if index < rest else 0) for index in range(parts)]


def split_by(minor: int, weights: Sequence[int]) -> list[int]:
    """Split an amount in proportion to `weights`: exact in sum, the cents that are over to the largest remainders."""
    whole = sum(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative, nor all zero")
    shares = [minor * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: minor * weights[place] % whole, reverse=True)
    for place in by_remainder[: minor - sum(shares)]:
        shares[place] += 1
    return shares


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in minor units of one currency."""

    amount: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        """Sum of two amounts of the same currency; ValueError for different ones."""
        if other.currency != self.currency:
            raise ValueError(f"cannot add {other.currency} to {self.currency}")
        return Money(self.amount + other.amount, self.currency)

    def __str__(self) -> str:
        """For people."""
        return format_minor(self.amount, self.currency)
