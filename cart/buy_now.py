"""Buy now: the tickets of one form become an order of their own, held and brought to payment in one step."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from cart import checkout
from cart.till import Till
from shared.contracts.dtos import WayOnDTO
from shared.contracts.payment_errors import PaymentsUnavailable
from shared.contracts.states import OrderState
from shared.database import Sessions


async def buy_now(
    sessions: Sessions, till: Till, *, user_id: UUID, chosen: Mapping[UUID, int], token: str, now: datetime
) -> WayOnDTO:
    """Where these tickets are paid; the order's page, where it waits or is over. Raises what start raises.

    Without an answer from Stripe the tickets stay held, and the order's page offers the payment again. Raises
    PaymentsRefused where Stripe does not want it: then the tickets are in the cart.
    """
    (order_id,) = await checkout.start(
        sessions, till, user_id=user_id, seen=form_mark(token, chosen), page_id=None, now=now, chosen=chosen
    )
    try:
        handover = await checkout.hand_over(sessions, till, order_id=order_id, user_id=user_id, now=now)
    except PaymentsUnavailable as error:
        return WayOnDTO(f"/orders/{order_id}", error.message)
    if handover.url:
        return WayOnDTO(handover.url)
    return WayOnDTO(f"/orders/{order_id}" + ("/confirmation" if handover.state == OrderState.PAID else ""))


def form_mark(token: str, chosen: Mapping[UUID, int]) -> str:
    """What an order of this form is known by: sent twice it is one order, with other numbers another."""
    numbers = sorted(f"{type_id}:{number}" for type_id, number in chosen.items())
    return hashlib.sha256("\n".join(["buy now", token, *numbers]).encode()).hexdigest()
