"""Orders in the database: writing one from a quote, finding, locking and moving it through its states."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload, selectinload

from cart.models import Order, OrderLine, StripeCustomer
from cart.quote import Quote, unit_amount
from shared import audit
from shared.contracts.states import OrderState, order_sources_of
from shared.database import new_row, user_lock, write_at_commit
from shared.errors import NotFound
from shared.identity.models import User
from shared.ids import new_id, new_order_number

LIVE = (OrderState.PENDING, OrderState.PROCESSING, OrderState.PAID)
UNPAID = (OrderState.PENDING, OrderState.PROCESSING)
ENDED_UNPAID = (OrderState.EXPIRED, OrderState.CANCELLED)
CLOSED = (OrderState.PAID, OrderState.FAILED, OrderState.EXPIRED, OrderState.CANCELLED)

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
    session: AsyncSession,
    quote: Quote,
    *,
    user_id: UUID,
    email: str,
    fingerprint: str,
    now: datetime,
    order_id: UUID | None = None,
) -> Order:
    """Write an order and its immutable lines, at commit; tickets are not claimed yet. Times in UTC.

    `order_id`: of tickets that name their order already (the demo's).
    """
    order = Order(
        id=order_id or new_id(),
        number=new_order_number(),
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
            id=new_id(),
            order_id=order.id,
            position=position,
            kind=line.kind,
            page_id=line.page_id,
            entry_id=line.entry_id,
            ref_id=line.ref_id,
            item_ids=list(line.item_ids),
            name=line.name,
            detail=line.detail,
            starts_at=line.starts_at,
            ends_at=line.ends_at,
            time_zone=line.time_zone,
            place=line.place,
            quantity=line.quantity,
            unit_amount=unit_amount(line),
            amount=unit_amount(line) * line.quantity,
        )
        for position, line in enumerate(quote.lines)
    ]
    await write_at_commit(session, new_row(order), *(new_row(line) for line in order.lines))
    return order


async def lock_order(session: AsyncSession, order_id: UUID) -> Order | None:
    """The order, locked until this transaction ends, as it is now."""
    return await session.get(Order, order_id, with_for_update={"key_share": True}, populate_existing=True)


async def lock_order_with_lines(session: AsyncSession, order_id: UUID) -> tuple[Order, list[OrderLine]]:
    """The order, locked until this transaction ends, with its lines in their order. Raises NotFound."""
    rows = (
        await session.execute(
            select(Order, OrderLine)
            .join(OrderLine, OrderLine.order_id == Order.id)
            .where(Order.id == order_id)
            .order_by(OrderLine.position)
            .with_for_update(of=Order, key_share=True)
            .execution_options(populate_existing=True)
        )
    ).all()
    if not rows:
        raise NotFound
    return rows[0][0], [line for _, line in rows]


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


async def orders_at_checkout(
    session: AsyncSession, user_id: UUID, *, fingerprint: str, ended_since: datetime
) -> tuple[list[Order], list[Order]]:
    """A user's unpaid orders with those that this very cart has become; and those that ended unpaid; oldest first."""
    of_cart = and_(Order.fingerprint == fingerprint, Order.state.in_(LIVE))
    ended = and_(Order.state.in_(ENDED_UNPAID), Order.closed_at > ended_since)
    rows = await session.scalars(
        select(Order)
        .where(Order.user_id == user_id, or_(of_cart, Order.state.in_(UNPAID), ended))
        .order_by(Order.created_at, Order.id)
    )
    found = list(rows)
    return (
        [order for order in found if order.state in LIVE],
        [order for order in found if order.state not in LIVE],
    )


def by_deadline(found: Sequence[Order]) -> list[Order]:
    """In the order in which they should be paid: what is not paid yet, the hold that lapses first before the others."""
    return sorted(
        found,
        key=lambda one: (
            one.state != OrderState.PENDING,
            one.reserved_until or one.created_at,
            one.created_at,
        ),
    )


async def lapsed_orders(
    session: AsyncSession, *, now: datetime, among: Sequence[UUID] | None = None, limit: int = 50
) -> list[UUID]:
    """Pending orders (all, or `among` these) whose hold is over, oldest first; those tried in vain come last."""
    lapsed = select(Order.id).where(Order.state == OrderState.PENDING, Order.reserved_until < now)
    if among is not None:
        lapsed = lapsed.where(Order.id.in_(among))
    rows = await session.scalars(
        # else the first ones that Stripe has no answer about would keep all others from being looked at
        lapsed.order_by(Order.releasing_until.nulls_first(), Order.reserved_until).limit(limit)
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
        .values(state=to, reserved_until=None, closed_at=now if to in CLOSED else None)
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


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who checks out, locked: nobody else changes this user's cart and orders until the transaction ends."""

    email: str
    customers: dict[str, str]
    """Stripe customer by account, as far as there is one (spec: E5)."""


async def lock_buyer(session: AsyncSession, user_id: UUID, *, livemode: bool) -> Buyer:
    """One checkout at a time per user: two clicks, two tabs and two devices wait for each other."""
    rows = await session.execute(
        select(user_lock(user_id), User.email, StripeCustomer.stripe_account, StripeCustomer.customer_id)
        .join(
            StripeCustomer,
            and_(StripeCustomer.user_id == User.id, StripeCustomer.livemode == livemode),
            isouter=True,
        )
        .where(User.id == user_id)
    )
    found = rows.all()
    return Buyer(found[0][1], {account: customer for _, _, account, customer in found if customer})
