"""An order whose payment is on its way for longer than its method can take: shown, and ended by the operator."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from cart.operator import health
from cart.settle import Settled
from shared.contracts.states import OrderState
from shared.health_facts import Level
from shared.models import OutgoingMail
from shared.payment_methods import DEBITS, SLOWEST
from shared.settings import Settings
from tests.shop import Shop, page_of
from tests.support import Browser

OPERATOR = "boss@example.org"
BUTTON = "Ask Stripe and end it"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Somebody runs this shop."""
    return replace(settings, operators=(OPERATOR,))


@pytest.fixture
async def operator(shop: Shop) -> AsyncIterator[Browser]:
    """Who runs it, signed in, before a shop that has started."""
    async with shop.app.test_app():
        yield await shop.buyer(OPERATOR)


async def on_its_way(shop: Shop) -> tuple[UUID, UUID, str]:
    """A debit that was begun; its type, order and session."""
    kind = await shop.world.sell()
    _, order_id, session_id = await shop.world.bought(kind)
    assert await shop.world.settle(shop.payments.pay(session_id, paid=False)) == Settled.PROCESSING
    return kind, order_id, session_id


async def end(operator: Browser, order_id: UUID) -> tuple[int, str]:
    """Press the button; the answer's status and what the order's page says then."""
    answer = await operator.post(f"/operator/orders/{order_id}/end")
    if answer.status_code == 303:
        return 303, await page_of(await operator.get(f"/operator/orders/{order_id}"))
    return answer.status_code, await answer.get_data(as_text=True)


async def test_what_takes_too_long_is_shown_and_ended(shop: Shop, operator: Browser) -> None:
    """Nothing at first; after the slowest method a fact, a list, a way to end it; stock is back (spec: H8, B9)."""
    kind, order_id, _ = await on_its_way(shop)
    assert max(DEBITS.values()) < SLOWEST
    assert BUTTON not in await page_of(await operator.get(f"/operator/orders/{order_id}"))
    assert (await end(operator, order_id))[0] == 409, "not yet: a debit may take this long"
    assert "No payment takes too long" in await page_of(await operator.get("/operator/overdue"))
    now = shop.clock.advance(seconds=SLOWEST.total_seconds() + 1)
    operator = await shop.buyer(OPERATOR)
    async with shop.database.sessions.reading() as session:
        fact = await health.overdue(session, now)
    assert (fact.level, fact.value, fact.href) == (Level.WARN, 1, "/operator/overdue")
    assert str(order_id) in await page_of(await operator.get("/operator/overdue"))
    assert BUTTON in await page_of(await operator.get(f"/operator/orders/{order_id}"))
    status, page = await end(operator, order_id)
    assert status == 303
    assert "its tickets are free" in page
    assert (await shop.world.order(order_id)).state == OrderState.FAILED
    assert await shop.world.allocated(kind) == 0
    assert await shop.world.count(OutgoingMail) >= 1, "the buyer is told"
    assert (await end(operator, order_id))[0] == 409, "once"


async def test_stripe_is_asked_first(shop: Shop, operator: Browser) -> None:
    """Paid while no news came: the order is paid, not ended (spec: C3)."""
    kind, order_id, session_id = await on_its_way(shop)
    shop.payments.arrive(session_id)
    shop.clock.advance(seconds=SLOWEST.total_seconds() + 1)
    status, page = await end(await shop.buyer(OPERATOR), order_id)
    assert status == 303
    assert "Stripe says that it was paid" in page
    assert (await shop.world.order(order_id)).state == OrderState.PAID
    assert await shop.world.allocated(kind) == 1


@pytest.mark.parametrize("told", ["unknown", "nothing"])
async def test_without_a_clear_answer_nothing_ends(shop: Shop, operator: Browser, told: str) -> None:
    """A state that is new at Stripe, or a session that it does not know: tickets stay held, with words (spec: B9)."""
    kind, order_id, session_id = await on_its_way(shop)
    known = shop.payments.known
    if told == "unknown":
        known[session_id] = replace(known[session_id], payment_status="half_paid")
    else:
        del known[session_id]
    shop.clock.advance(seconds=SLOWEST.total_seconds() + 1)
    status, page = await end(await shop.buyer(OPERATOR), order_id)
    assert status == 409
    assert "does not say clearly" in page
    assert (await shop.world.order(order_id)).state == OrderState.PROCESSING
    assert await shop.world.allocated(kind) == 1


async def test_money_that_comes_after_the_end_goes_back(shop: Shop, operator: Browser) -> None:
    """The order is over: what arrives is sent back by the same settle, whole (spec: C5)."""
    _, order_id, session_id = await on_its_way(shop)
    shop.clock.advance(seconds=SLOWEST.total_seconds() + 1)
    await end(await shop.buyer(OPERATOR), order_id)
    assert await shop.world.settle(shop.payments.arrive(session_id)) == Settled.REFUND_DUE
    (refund,) = await shop.world.refunds()
    assert refund.amount == (await shop.world.order(order_id)).total
