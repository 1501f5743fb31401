"""From cart lines to what will be charged: one quote per Stripe account and currency. Pure; calls nothing."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.contracts.dtos import CartGroupDTO, CartLineDTO, CartSummaryDTO, PageDTO
from shared.errors import Conflict, Invalid
from shared.money import MAXIMUM_CHARGE, MINIMUM_CHARGE, STEPS, format_minor, is_payable, to_minor

MAX_LINES = 100  # Stripe: line items of one Checkout session


class EmptyCart(Invalid):
    """Your cart is empty. Choose some tickets first."""

    code = "CART_EMPTY"


class CartChanged(Conflict):
    """Your cart has changed since this page was shown. Please check the total and go on; no money was taken."""

    code = "CART_CHANGED"


class NotChargeable(Invalid):
    """This amount cannot be charged."""

    code = "NOT_CHARGEABLE"


class PaymentsStopped(Conflict):
    """This shop can’t take payments at the moment."""

    code = "PAYMENTS_STOPPED"


@dataclass(frozen=True, slots=True)
class Quote:
    """One order to be: lines of one currency and one Stripe account. Amounts in minor units."""

    currency: str
    stripe_account: str
    pages: tuple[PageDTO, ...]
    lines: tuple[CartLineDTO, ...]
    total: int
    hold_minutes: int

    @property
    def page_id(self) -> UUID | None:
        """The page, where there is only one."""
        return self.pages[0].id if len(self.pages) == 1 else None


def unit_amount(line: CartLineDTO) -> int:
    """A line's unit cost in minor units."""
    return to_minor(line.unit_cost, line.currency)


def fingerprint(lines: Sequence[CartLineDTO]) -> str:
    """What the buyer saw, as a short text: the very items with their prices. Two carts alike have the same."""
    seen = sorted(f"{item}:{unit_amount(line)}:{line.currency}" for line in lines for item in line.item_ids)
    return hashlib.sha256("\n".join(seen).encode()).hexdigest()


def quotes(summary: CartSummaryDTO) -> list[Quote]:
    """Split a cart into quotes. Raises NotChargeable, PaymentsStopped.

    Sorted: every checkout then claims the pools of one account and currency before those of the next, so two
    carts over the same pages can never wait for each other.
    """
    parts: dict[tuple[str, str], list[CartGroupDTO]] = defaultdict(list)
    for group in summary.groups:
        parts[group.page.stripe_account, group.page.currency].append(group)
    return [_quote(account, currency, groups) for (account, currency), groups in sorted(parts.items())]


def _quote(account: str, currency: str, groups: list[CartGroupDTO]) -> Quote:
    lines = tuple(line for group in groups for line in group.lines)
    total = sum(unit_amount(line) * line.quantity for line in lines)
    if total and (stopped := [group.page.name for group in groups if group.page.payments_stopped]):
        raise PaymentsStopped(
            f"{' and '.join(stopped)} can’t take payments at the moment. Your tickets stay in your cart; no money was"
            " taken."
        )
    _check_chargeable(total, currency, len(lines))
    for line in lines:
        _check_payable(line)
    return Quote(
        currency=currency,
        stripe_account=account,
        pages=tuple(group.page for group in groups),
        lines=lines,
        total=total,
        hold_minutes=min(line.hold_minutes for line in lines),
    )


def _check_chargeable(total: int, currency: str, line_count: int) -> None:
    if line_count > MAX_LINES:
        raise NotChargeable(f"An order can hold at most {MAX_LINES} different items. Please split it in two.")
    if total == 0:
        return
    least = MINIMUM_CHARGE.get(currency, 0)
    if total < least:
        raise NotChargeable(
            f"The smallest amount that can be paid is {format_minor(least, currency)}; "
            f"this order comes to {format_minor(total, currency)}."
        )
    if total > MAXIMUM_CHARGE:
        raise NotChargeable("This order is larger than can be paid at once. Please split it in two.")


def _check_payable(line: CartLineDTO) -> None:
    """Each price by itself, so that each ticket can be refunded by itself."""
    if not is_payable(unit_amount(line), line.currency):
        step = format_minor(STEPS[line.currency], line.currency)
        raise NotChargeable(
            f"{line.name} cannot be paid for: the payment provider takes only multiples of {step}."
            " Please tell the organizer."
        )
