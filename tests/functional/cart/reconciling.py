"""What tests of the reconciler share: runs of it, orders in a known state, a database that lost something."""

from uuid import UUID

from sqlalchemy import text

from cart.books import keeping
from cart.reconcile.differences import Kind
from cart.reconcile.run import Report, reconcile
from cart.refunds import sending
from tests.cart_world import World
from tests.ledger_sums import sums
from tests.shop import all_rows


def later(world: World, **time: float) -> None:
    """Our clock and Stripe's go on together."""
    world.clock.advance(**time)
    world.payments.now = world.clock.now()


async def check(world: World, *, commit: bool = False, refund_orphans: bool = False) -> Report:
    """A run, some minutes later: nothing is young any more."""
    later(world, minutes=3)
    return await reconcile(
        world.sessions, world.till, now=world.clock.now(), commit=commit, refund_orphans=refund_orphans
    )


def kinds(report: Report) -> list[Kind]:
    """What differed."""
    return [difference.kind for difference in report.differences]


async def repaired(world: World, *expected: Kind) -> Report:
    """Dry run and commit find exactly this; the dry run writes nothing but its own row, a last run finds nothing."""
    before = await all_rows(world.sessions, besides=("reconciliations",))
    dry = await check(world)
    assert kinds(dry) == list(expected), kinds(dry)
    assert await all_rows(world.sessions, besides=("reconciliations",)) == before, "a dry run writes nothing"
    done = await check(world, commit=True)
    assert kinds(done) == list(expected), kinds(done)
    assert all(one.repaired for one in done.differences), [one.done for one in done.differences]
    again = await check(world, commit=True)
    assert kinds(again) == [], kinds(again)
    return done


async def work(world: World) -> None:
    """What the worker does about money."""
    now = world.clock.now()
    await sending.send_due(world.sessions, world.till, now=now)
    await keeping.post_new(world.sessions, world.till, now=now)


async def paid(world: World, quantity: int = 2, **values: object) -> tuple[UUID, str, UUID]:
    """An order that is paid and settled; ids of order, session and ticket type."""
    kind = await world.sell(capacity=9, cost=1500, **values)
    _, order_id, session_id = await world.bought(kind, quantity)
    await world.settle(world.payments.pay(session_id))
    await work(world)
    return order_id, session_id, kind


async def blocked(world: World, order_id: UUID) -> list[bool]:
    """Whether the order's tickets are."""
    async with world.sessions() as session:
        return [one.blocked for one in await world.calendar.get_tickets_for_order(session, order_id)]


async def forget(world: World, order_id: UUID) -> None:
    """What a backup from before this order does not have."""
    async with world.sessions.begin() as session:
        for table in ("ledger_transfers", "order_lines"):
            await session.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        await session.execute(
            text(
                "DELETE FROM balance_transactions WHERE payment_intent IN"
                " (SELECT payment_intent FROM payments WHERE order_id = :order)"
            ),
            {"order": order_id},
        )
        await session.execute(text("DELETE FROM tickets WHERE order_id = :order"), {"order": order_id})
        for table in ("ledger_transfers", "refunds", "payments", "checkout_attempts", "order_lines"):
            await session.execute(
                text(f"DELETE FROM {table} WHERE order_id = :order"),  # noqa: S608 - our names
                {"order": order_id},
            )
        await session.execute(text("DELETE FROM orders WHERE id = :order"), {"order": order_id})
        await session.execute(text("UPDATE pools SET allocated = 0"))
        for table in ("ledger_transfers", "order_lines"):
            await session.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))


async def ledger_balance(world: World) -> dict[str, int]:
    """The ledger's balance of the platform's account at Stripe; all is in euros here."""
    return {"EUR": (await sums(world.sessions)).get("stripe_balance", 0)}
