"""Orders in the database: writing one from a quote, finding, locking and moving it through its states."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, selectinload

from cart.models import Order, OrderLine
from cart.quote import Quote, unit_amount
from shared import audit
from shared.contracts.states import OrderState, order_sources_of
from shared.errors import NotFound
from shared.identity.models import User

CLOSED = (OrderState.PAID, OrderState.FAILED, OrderState.EXPIRED, OrderState.CANCELLED)
LIVE = (OrderState.PENDING, OrderState.PROCESSING, OrderState.PAID)

_ASKED_FOR = aliased(Order)
# made once: to compose it costs as much as to send it
_WITH_SIBLINGS = (
    select(Order)
    .join(_ASKED_FOR, and_(Order.user_id == _ASKED_FOR.user_id, Order.fingerprint == _ASKED_FOR.fingerprint))
    .where(or_(Order.id == _ASKED_FOR.id, Order.state.in_(LIVE)))
    .order_by(Order.created_at, Order.id)
    .options(joinedload(Order.lines))
    .execution_options(populate_existing=True)
)


async def add_order(
    session: AsyncSession, quote: Quote, *, user_id: UUID, email: str, fingerprint: str, now: datetime
) -> Order:
    """Write an order and its immutable lines; tickets are not claimed yet. Times in UTC."""
    order = Order(
        user_id=user_id,
        email=email,
        page_id=quote.page_id,
        currency=quote.currency,
        stripe_account=quote.stripe_account,
        total=quote.total,
        state=OrderState.PENDING,
        fingerprint=fingerprint,
        hold_minutes=quote.hold_minutes,
        reserved_until=now + timedelta(minutes=quote.hold_minutes),
        created_at=now,
    )
    order.lines = [
        OrderLine(
            position=position,
            kind=line.kind,
            page_id=line.page_id,
            entry_id=line.entry_id,
            ref_id=line.ref_id,
            item_ids=list(line.item_ids),
            name=line.name,
            detail=line.detail,
            quantity=line.quantity,
            unit_amount=unit_amount(line),
            amount=unit_amount(line) * line.quantity,
        )
        for position, line in enumerate(quote.lines)
    ]
    session.add(order)
    await session.flush()
    return order


async def lock_order(session: AsyncSession, order_id: UUID) -> Order | None:
    """The order, locked until this transaction ends, as it is now."""
    return await session.get(Order, order_id, with_for_update={"key_share": True}, populate_existing=True)


async def lines_of(session: AsyncSession, order_id: UUID) -> list[OrderLine]:
    """The lines of one order, in their order."""
    rows = await session.scalars(
        select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.position)
    )
    return list(rows)


def item_ids(lines: Sequence[OrderLine]) -> list[UUID]:
    """All tickets of these lines."""
    return [item for line in lines for item in line.item_ids]


async def own_order(session: AsyncSession, order_id: UUID, *, user_id: UUID) -> Order:
    """A user's own order, without its lines. Raises NotFound for any other."""
    order = await session.scalar(
        select(Order)
        .where(Order.id == order_id, Order.user_id == user_id)
        .execution_options(populate_existing=True)
    )
    if order is None:
        raise NotFound
    return order


async def own_order_with_siblings(
    session: AsyncSession, order_id: UUID, *, user_id: UUID
) -> tuple[Order, list[Order]]:
    """A user's own order, and the live orders of the same cart in the order in which they are paid; all with lines.

    An order that is over is not among the live ones. Raises NotFound for another's order.
    """
    asked_for = _WITH_SIBLINGS.where(_ASKED_FOR.id == order_id, _ASKED_FOR.user_id == user_id)
    found = {order.id: order for order in (await session.scalars(asked_for)).unique()}
    if order_id not in found:
        raise NotFound
    return found[order_id], [order for order in found.values() if order.state in LIVE]


async def orders_of_user(session: AsyncSession, user_id: UUID, *, limit: int = 100) -> list[Order]:
    """A user's orders with their lines, newest first."""
    rows = await session.scalars(
        select(Order)
        .where(Order.user_id == user_id)
        .order_by(Order.created_at.desc(), Order.id.desc())
        .options(selectinload(Order.lines))
        .limit(limit)
    )
    return list(rows)


async def open_orders(session: AsyncSession, user_id: UUID) -> list[Order]:
    """A user's unfinished checkouts that still hold stock, oldest first; without their lines."""
    rows = await session.scalars(
        select(Order)
        .where(Order.user_id == user_id, Order.state == OrderState.PENDING)
        .order_by(Order.created_at, Order.id)
    )
    return list(rows)


async def orders_of_cart(session: AsyncSession, *, user_id: UUID, fingerprint: str) -> list[Order]:
    """The live orders that this very cart has already become: a double click, a second tab, coming back."""
    rows = await session.scalars(
        select(Order)
        .where(
            Order.user_id == user_id,
            Order.fingerprint == fingerprint,
            Order.state.in_(LIVE),
        )
        .order_by(Order.created_at, Order.id)
    )
    return list(rows)


async def lapsed_orders(session: AsyncSession, *, now: datetime, limit: int = 50) -> list[UUID]:
    """Pending orders whose hold is over, oldest first."""
    rows = await session.scalars(
        select(Order.id)
        .where(Order.state == OrderState.PENDING, Order.reserved_until < now)
        .order_by(Order.reserved_until)
        .limit(limit)
    )
    return list(rows)


async def move_order(
    session: AsyncSession,
    order: Order,
    to: OrderState,
    *,
    now: datetime,
    actor: str,
    why: str,
    details: dict[str, Any] | None = None,
) -> bool:
    """Move an order along the table of transitions and note it in the audit log; False where the table forbids it."""
    before = order.state
    moved = await session.execute(
        update(Order)
        .where(Order.id == order.id, Order.state.in_(order_sources_of(to)))
        .values(
            state=to,
            reserved_until=None,
            closed_at=now if to in CLOSED else None,
        )
        .returning(Order.id)
        .execution_options(synchronize_session="fetch")
    )
    if moved.scalar_one_or_none() is None:
        return False
    await audit.record(
        session,
        at=now,
        actor=actor,
        subject="order",
        subject_id=order.id,
        what=why,
        before={"state": before},
        after={"state": to, **(details or {})},
    )
    return True


async def email_and_open_orders(session: AsyncSession, user_id: UUID) -> tuple[str, int]:
    """A buyer's address, and how many unfinished checkouts they have; limited, since each holds stock."""
    waiting = (
        select(func.count())
        .where(Order.user_id == user_id, Order.state == OrderState.PENDING)
        .scalar_subquery()
    )
    email, number = (await session.execute(select(User.email, waiting).where(User.id == user_id))).one()
    return email, number
