"""What tests of money on the road share: the worker's rounds and the reconciler's, and whether the books balance."""

from cart.books import keeping
from cart.reconcile.run import Report, reconcile
from cart.refunds import sending
from cart.till import Till
from tests.ledger_sums import not_posted, sums
from tests.road import Road


def till_of(road: Road) -> Till:
    """What the app's own rounds are given."""
    return Till(road.app.services.calendar, road.app.services.payments, road.app.settings.public_url)


async def look(road: Road, till: Till) -> Report:
    """The worker's rounds about money, and the reconciler's some minutes later."""
    road.world.clock.advance(minutes=5)
    now = road.world.clock.now()
    road.standin.set_clock(now)
    await sending.send_due(road.world.sessions, till, now=now)
    await keeping.post_new(road.world.sessions, till, now=now)
    return await reconcile(road.world.sessions, till, now=now, commit=True)


async def books_balance(road: Road, till: Till) -> None:
    """Nothing differs and nothing waits, and what the ledger says of Stripe is what Stripe says."""
    report = await look(road, till)
    differing = [(one.kind, one.about, one.here, one.stripe, one.done) for one in report.differences]
    assert differing == [], differing
    assert report.errors == []
    assert await not_posted(road.world.sessions) == 0
    balance = road.standin.books()["accounts"][""]["balance"]
    total = balance["eur"]["total"] if balance else 0
    assert (await sums(road.world.sessions)).get("stripe_balance", 0) == total
