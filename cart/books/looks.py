"""When an account's books are looked at: soon after something happened there, else every twelve minutes (spec: L9).

Stripe allots reads by the number of payments, ten thousand a month to a small account; a look every fifteen seconds
made 172,800 of them while nothing happened. One worker at a time looks: whoever writes the time of the look first.
"""

from datetime import datetime, timedelta

from sqlalchemy import exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert

from cart.models import Payment, WebhookEvent
from cart.records import BooksLook
from shared.database import Sessions

QUIET = timedelta(minutes=12)
"""Without any sign: 3,600 looks a month."""
LAG = timedelta(minutes=1)
"""Stripe lists a movement a little after it tells of it: a sign is looked after for so long."""
AT_ONCE = timedelta(seconds=10)
"""Another worker's look is a look."""


async def claim(sessions: Sessions, stripe_account: str, *, now: datetime) -> bool:
    """Whether it is time to look at this account, and nobody else is about to; it is then noted as looked at.

    Signs are webhook events of the account and payments that were settled: each follows from the other, and either may
    be lost. What leaves no sign is found by the quiet look, and by the reconciler.
    """
    since = BooksLook.looked_at - LAG
    signs = (
        exists().where(WebhookEvent.stripe_account == stripe_account, WebhookEvent.received_at > since),
        exists().where(Payment.stripe_account == stripe_account, Payment.created_at > since),
    )
    look = insert(BooksLook).values(stripe_account=stripe_account, looked_at=now)
    due = look.on_conflict_do_update(
        index_elements=["stripe_account"],
        set_={"looked_at": now},
        where=(BooksLook.looked_at <= now - AT_ONCE) & or_(BooksLook.looked_at <= now - QUIET, *signs),
    ).returning(literal(1))
    async with sessions.single() as session:
        return await session.scalar(due) is not None


async def accounts(sessions: Sessions) -> list[str]:
    """Every Stripe account that something was ever paid to, and the platform's own."""
    async with sessions.reading() as session:
        paid = await session.scalars(select(func.distinct(Payment.stripe_account)))
        return sorted({"", *paid})
