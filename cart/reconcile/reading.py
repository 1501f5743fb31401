"""Our rows as the comparisons need them: orders with their pages, attempts with their orders, what is booked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, any_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from cart.models import CheckoutAttempt, Order, OrderLine, Payment
from shared.ids import parse_id


@dataclass(frozen=True, slots=True)
class OrderBrief:
    """An order, as far as a difference speaks of it. Amounts in minor units."""

    id: UUID
    number: str
    user_id: UUID
    state: str
    total: int
    currency: str
    stripe_account: str
    closed_at: datetime | None
    reserved_until: datetime | None
    page_ids: tuple[UUID, ...]

    @property
    def words(self) -> str:
        """How a difference calls it."""
        return f"Order {self.number}"


@dataclass(frozen=True, slots=True)
class AttemptBrief:
    """A checkout attempt with its order."""

    id: UUID
    state: str
    session_id: str | None
    order: OrderBrief


async def accounts(session: AsyncSession) -> list[str]:
    """Every Stripe account that an order was ever made for, the platform's ('') first."""
    used = await session.scalars(select(Order.stripe_account).distinct())
    return sorted({"", *used})


def among(column: InstrumentedAttribute[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """`column IN (…)` for any number of values: as one array, since a statement has no more than 32767 parameters."""
    return column == any_(literal(list(values), ARRAY(column.type)))


async def orders_by_id(session: AsyncSession, order_ids: Iterable[UUID]) -> dict[UUID, OrderBrief]:
    """Orders with the pages that sell in them; unknown ids are absent."""
    pages = func.array_agg(OrderLine.page_id.distinct())
    rows = await session.execute(
        select(Order, pages)
        .join(OrderLine, OrderLine.order_id == Order.id)
        .where(among(Order.id, set(order_ids)))
        .group_by(Order.id)
        .execution_options(populate_existing=True)
    )
    return {
        order.id: OrderBrief(
            id=order.id,
            number=order.number,
            user_id=order.user_id,
            state=order.state,
            total=order.total,
            currency=order.currency,
            stripe_account=order.stripe_account,
            closed_at=order.closed_at,
            reserved_until=order.reserved_until,
            page_ids=tuple(page_ids),
        )
        for order, page_ids in rows
    }


async def attempts_of(
    session: AsyncSession, account: str, metadata: Mapping[str, dict[str, str]]
) -> dict[str, AttemptBrief]:
    """The attempt of each session or intent, found by its metadata or the session's id, as settle does."""
    named = {one: parse_id(texts.get("attempt_id", "")) for one, texts in metadata.items()}
    rows = list(
        await session.scalars(
            select(CheckoutAttempt).where(
                CheckoutAttempt.stripe_account == account,
                or_(
                    among(CheckoutAttempt.id, {attempt_id for attempt_id in named.values() if attempt_id}),
                    among(CheckoutAttempt.session_id, set(named)),
                ),
            )
        )
    )
    orders = await orders_by_id(session, {row.order_id for row in rows})
    by_id = {row.id: AttemptBrief(row.id, row.state, row.session_id, orders[row.order_id]) for row in rows}
    by_session = {brief.session_id: brief for brief in by_id.values() if brief.session_id is not None}
    found = {
        one: by_id[attempt_id] if attempt_id in by_id else by_session.get(one)
        for one, attempt_id in named.items()
    }
    return {one: brief for one, brief in found.items() if brief is not None}


async def booked_intents(session: AsyncSession, account: str, intents: Iterable[str]) -> dict[str, Payment]:
    """The payments of these payment intents; what is not booked is absent."""
    rows = await session.scalars(
        select(Payment).where(Payment.stripe_account == account, among(Payment.payment_intent, intents))
    )
    return {row.payment_intent: row for row in rows}
