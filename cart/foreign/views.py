"""What is shown of payments without our marks: to the operator, on an order's page, and to who comes back from one."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from cart.foreign.models import ForeignFit, ForeignPayment
from cart.models import Order

SHOWN = 100
WHY_WORDS = {"customer": "same customer at Stripe", "email": "same e-mail", "amount": "same amount"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order that a payment fits."""

    order: Order
    why: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payment that waits for the operator's word."""

    payment: ForeignPayment
    candidates: list[Candidate]


async def waiting(session: AsyncSession) -> list[Waiting]:
    """Those that nobody has decided about, the oldest first."""
    rows = await session.scalars(
        select(ForeignPayment)
        .where(ForeignPayment.state == "open")
        .order_by(ForeignPayment.noticed_at, ForeignPayment.id)
        .limit(SHOWN)
    )
    payments = list(rows)
    fits = await session.execute(
        select(ForeignFit, Order)
        .join(Order, Order.id == ForeignFit.order_id)
        .where(ForeignFit.payment_id.in_([one.id for one in payments]))
        .order_by(Order.created_at.desc(), Order.id.desc())
    )
    by_payment: dict[UUID, list[Candidate]] = defaultdict(list)
    for fit, order in sorted(fits, key=lambda row: -len(row[0].why)):
        by_payment[fit.payment_id].append(Candidate(order, ", ".join(WHY_WORDS[one] for one in fit.why)))
    return [Waiting(one, by_payment[one.id]) for one in payments]


async def decided(session: AsyncSession) -> Sequence[tuple[ForeignPayment, Order | None]]:
    """The last ones that somebody has decided about, with the order that each was booked with."""
    rows = await session.execute(
        select(ForeignPayment, Order)
        .join(Order, Order.id == ForeignPayment.order_id, isouter=True)
        .where(ForeignPayment.state != "open")
        .order_by(ForeignPayment.decided_at.desc(), ForeignPayment.id.desc())
        .limit(SHOWN)
    )
    return [(payment, order) for payment, order in rows]


def looked_at(order_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether a payment that fits an order surely waits for the operator: by its payer, not by its amount alone."""
    return exists().where(
        ForeignFit.order_id == order_id,
        ForeignFit.why.overlap(["customer", "email"]),
        ForeignFit.payment_id == ForeignPayment.id,
        ForeignPayment.state == "open",
    )


async def of_session(session: AsyncSession, session_id: str) -> ForeignPayment | None:
    """The payment of a Checkout session without our marks, where it was kept."""
    row: ForeignPayment | None = await session.scalar(
        select(ForeignPayment).where(ForeignPayment.session_id == session_id).limit(1)
    )
    return row
