"""Connected accounts: unknown, restricted, taken away and given again."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe

from shared.sandbox.stripe.accounts import OWN
from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.running import RunningStandin, running_standin
from tests.unit.sandbox.annotations import CLASSES, assert_conforms
from tests.unit.sandbox.conftest import Receiver, connected, kinds, paid_session, wishes
from tests.unit.sandbox.test_switches import turn

HALL = "acct_1Hall"
AS_HALL: Any = {"stripe_account": HALL}


async def test_an_account_that_is_not_known_is_refused(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Stripe: 403 `account_invalid`, whatever is asked; nothing of it remains."""
    asks = (
        client.v1.checkout.sessions.create_async(params=wishes(), options=AS_HALL),
        client.v1.refunds.list_async(options=AS_HALL),
        client.v1.accounts.retrieve_async(HALL),
    )
    for ask in asks:
        with pytest.raises(stripe.PermissionError) as refused:
            await ask
        assert refused.value.http_status == 403
        error = refused.value.error  # the SDK sets no `code` on this exception itself
        assert error is not None
        assert (error.type, error.code) == ("invalid_request_error", "account_invalid")
    assert HALL not in standin.books()["accounts"]


async def test_an_account_tells_whether_it_may_be_paid(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Two addresses, one account: by its id, and as the one that the request acts for."""
    standin.open_account(HALL)
    by_id = await client.v1.accounts.retrieve_async(HALL)
    own = await client.v1.accounts.retrieve_current_async()
    acting = await client.v1.accounts.retrieve_current_async(options=AS_HALL)
    assert (by_id.id, acting.id, own.id) == (HALL, HALL, OWN)
    assert (by_id.charges_enabled, acting.charges_enabled, own.charges_enabled) == (True, True, True)
    for account in (by_id, own):
        assert_conforms(account.to_dict(), stripe.Account)
    session = await client.v1.checkout.sessions.create_async(params=wishes(), options={"stripe_account": OWN})
    assert (await client.v1.checkout.sessions.retrieve_async(session.id)).id == session.id


async def test_a_restricted_account_cannot_be_paid(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Neither a new session nor an open one; refunds and everything read go on, and the events say so."""
    paid = await paid_session(standin, client, account=HALL)
    waiting = await client.v1.checkout.sessions.create_async(params=wishes(), options=AS_HALL)
    standin.restrict_account(HALL, charges_enabled=False)
    with pytest.raises(stripe.InvalidRequestError, match="cannot currently make live charges"):
        await client.v1.checkout.sessions.create_async(params=wishes(), options=AS_HALL)
    with pytest.raises(StripeError, match="cannot currently make live charges"):
        await standin.pay(waiting.id)
    account = await client.v1.accounts.retrieve_async(HALL)
    assert (account.charges_enabled, account.capabilities.card_payments) == (False, "inactive")  # type: ignore[union-attr]
    params: Any = {"payment_intent": paid["payment_intent"]}
    assert (await client.v1.refunds.create_async(params=params, options=AS_HALL)).status == "succeeded"
    assert {"account.updated", "capability.updated"} <= set(kinds(standin, HALL))
    standin.restore_account(HALL)
    assert (await standin.pay(waiting.id))["payment_status"] == "paid"
    for event in standin.events(account=HALL):
        assert_conforms(event["data"]["object"], CLASSES[event["data"]["object"]["object"]])


async def test_the_platform_itself_can_be_restricted(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Its account has no name in a request."""
    standin.restrict_account("", charges_enabled=False)
    with pytest.raises(stripe.InvalidRequestError, match="Your account cannot currently make"):
        await client.v1.checkout.sessions.create_async(params=wishes())
    standin.restore_account("")
    assert (await client.v1.checkout.sessions.create_async(params=wishes())).status == "open"


@pytest.fixture
async def sending(receiver: Receiver) -> AsyncIterator[RunningStandin]:
    """A stand-in whose events reach the receiver."""
    transport = httpx.ASGITransport(app=receiver.app)
    async with running_standin(webhook_url="http://hook.test/hook", transport=transport) as running:
        yield running


async def test_an_account_that_took_our_access_away(sending: RunningStandin, receiver: Receiver) -> None:
    """Refused on every call, its open sessions can still be paid, and we hear nothing of it until it is back."""
    async with connected(sending) as client:
        sending.open_account(HALL)
        session = await client.v1.checkout.sessions.create_async(params=wishes(), options=AS_HALL)
        sending.withdraw_account(HALL)
        with pytest.raises(stripe.PermissionError):
            await client.v1.checkout.sessions.expire_async(session.id, options=AS_HALL)
        with pytest.raises(stripe.PermissionError):
            await client.v1.accounts.retrieve_async(HALL)
        assert (await sending.pay(session.id))["payment_status"] == "paid"
        sending.restore_account(HALL)
        again = await client.v1.checkout.sessions.retrieve_async(session.id, options=AS_HALL)
    assert again.payment_status == "paid"
    await sending.webhooks.idle()
    assert [one.type for one in sending.webhooks.tries] == [
        "account.application.deauthorized",
        "account.application.authorized",
    ]
    assert kinds(sending, HALL)[-1] == "account.application.authorized", "what was missed can be listed"
    assert "checkout.session.completed" in kinds(sending, HALL)


async def test_accounts_are_switched_over_http(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """For the demo, whose stand-in is a process of its own."""
    status, body = await turn(standin, "account", account=HALL, charges_enabled=False)
    assert (status, body["id"], body["charges_enabled"]) == (200, HALL, False)
    await turn(standin, "account", account=HALL, access=False)
    with pytest.raises(stripe.PermissionError):
        await client.v1.balance.retrieve_async(options=AS_HALL)
    assert (await turn(standin, "account", account=HALL, access=True))[1]["charges_enabled"] is True
    assert (await client.v1.balance.retrieve_async(options=AS_HALL)).object == "balance"
