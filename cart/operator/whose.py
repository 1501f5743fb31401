"""Which order an event of Stripe's is about: by its session, its payment, or our marks on it. For the operator."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cart.models import CheckoutAttempt, Order, Payment, WebhookEvent
from shared.ids import parse_id


async def orders_of(session: AsyncSession, events: Sequence[WebhookEvent]) -> dict[str, Order]:
    """The order of each event that is about one, by the event's id; three statements for them all."""
    things = {event.id: _thing(event.body) for event in events}
    names = [thing[key] for thing in things.values() for key in ("id", "payment_intent") if key in thing]
    known: dict[object, UUID] = {}
    for column, order_id in (
        (Payment.payment_intent, Payment.order_id),
        (CheckoutAttempt.session_id, CheckoutAttempt.order_id),
    ):
        rows = await session.execute(select(column, order_id).where(column.in_(names)))
        known |= {row[0]: row[1] for row in rows}
    ids = {event_id: _order_id(thing, known) for event_id, thing in things.items()}
    orders = await session.scalars(select(Order).where(Order.id.in_({one for one in ids.values() if one})))
    by_id = {order.id: order for order in orders}
    return {event_id: by_id[one] for event_id, one in ids.items() if one in by_id}


def _thing(body: bytes) -> dict[str, Any]:
    """What an event is about, with only such names in it as are text; nothing where it cannot be read."""
    try:
        thing = json.loads(body)["data"]["object"]
        marks = thing.get("metadata") or {}
        told = {
            "id": thing.get("id"),
            "payment_intent": thing.get("payment_intent"),
            "order_id": marks.get("order_id"),
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name: value for name, value in told.items() if isinstance(value, str)}


def _order_id(thing: dict[str, Any], known: dict[object, UUID]) -> UUID | None:
    for name in ("id", "payment_intent"):
        if thing.get(name) in known:
            return known[thing[name]]
    return parse_id(thing.get("order_id", ""))
