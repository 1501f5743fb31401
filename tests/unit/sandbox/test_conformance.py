"""Every object the program meets has the fields, and only the fields, of the SDK's class for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.running import RunningStandin
from shared.sandbox.stripe.testcards import INSTRUCTIONS
from tests.unit.sandbox.annotations import CLASSES, assert_conforms, problems
from tests.unit.sandbox.conftest import paid_session, wishes

IBAN, RETURNING_IBAN = "AT611904300234573201", "AT861904300235473202"


def assert_all_conform(standin: RunningStandin) -> set[str]:
    """Hold everything the stand-in remembers against the SDK; the kinds that were there."""
    book = standin.app.standin.store.book("")
    for kind, table in book.tables.items():
        for made in table.values():
            assert_conforms(made, CLASSES[kind])
    for event in standin.events():
        assert_conforms(event["data"]["object"], CLASSES[event["data"]["object"]["object"]])
    for kept in book.hidden.values():
        for line in kept.get("lines", ()):
            assert_conforms(line, CLASSES["item"])
    return set(book.tables)


@pytest.mark.parametrize("ui_mode", ["hosted_page", "embedded_page", "elements", "form"])
async def test_an_open_session_conforms(
    standin: RunningStandin, client: stripe.StripeClient, ui_mode: str
) -> None:
    """Issue 2 section 5."""
    more: dict[str, Any] = {"ui_mode": ui_mode}
    if ui_mode != "hosted_page":
        more |= {"return_url": "http://shop.test/checkout/complete?session_id={CHECKOUT_SESSION_ID}"}
    asked = wishes(**more)
    if ui_mode != "hosted_page":
        del asked["success_url"], asked["cancel_url"]
    await client.v1.checkout.sessions.create_async(params=asked)
    assert {"checkout.session", "product", "price"} <= assert_all_conform(standin)


@pytest.mark.parametrize(
    ("iban", "fails"), [(None, None), (IBAN, None), (IBAN, False), (RETURNING_IBAN, True)]
)
async def test_a_complete_session_conforms(
    standin: RunningStandin, client: stripe.StripeClient, iban: str | None, fails: bool | None
) -> None:
    """Issue 2 section 5: paid, complete but unpaid, and after the bank's late answer."""
    customer = await client.v1.customers.create_async(params={"email": "mira@example.com"})
    session = await client.v1.checkout.sessions.create_async(params=wishes(customer=customer.id))
    await standin.pay(session.id, iban=iban)
    if fails is not None:
        standin.finish_delayed(session.id, fails=fails)
    assert {"payment_intent", "charge", "payment_method", "event"} <= assert_all_conform(standin)


async def test_a_declined_and_then_expired_session_conforms(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5."""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    with pytest.raises(StripeError):
        await standin.pay(session.id, "4000000000000002")
    assert_all_conform(standin)
    standin.set_clock(datetime.now(UTC) + timedelta(hours=25))
    assert standin.find("checkout.session", session.id)["status"] == "expired"
    assert_all_conform(standin)


async def test_refunds_coupons_and_the_balance_conform(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 2 section 5."""
    coupon = await client.v1.coupons.create_async(params={"percent_off": 10, "name": "Friends"})
    asked = wishes(discounts=[{"coupon": coupon.id}], customer_creation="always")
    session = await client.v1.checkout.sessions.create_async(params=asked)
    paid = await standin.pay(session.id)
    params: Any = {"payment_intent": paid["payment_intent"], "amount": 500}
    kept = await client.v1.refunds.create_async(params=params)
    failing = await client.v1.refunds.create_async(params=params)
    standin.fail_refund(failing.id)
    assert_conforms((await client.v1.balance.retrieve_async()).to_dict(), stripe.Balance)
    assert {"refund", "coupon", "customer", "balance_transaction"} <= assert_all_conform(standin)
    assert (kept.status, standin.find("refund", failing.id)["status"]) == ("succeeded", "failed")


@pytest.mark.parametrize("iban", [None, IBAN])
@pytest.mark.parametrize("inquiry", [False, True])
@pytest.mark.parametrize("won", [False, True])
async def test_disputes_conform_from_first_to_last(
    standin: RunningStandin, client: stripe.StripeClient, iban: str | None, inquiry: bool, won: bool
) -> None:
    """spec: E4; every event on the way is held against the SDK too."""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    await standin.pay(session.id, iban=iban)
    standin.finish_delayed(session.id)
    dispute = standin.dispute(session.id, 1000, inquiry=inquiry)
    evidence: Any = {"uncategorized_text": "They came.", "customer_name": "Mira"}
    await client.v1.disputes.update_async(dispute["id"], params={"evidence": evidence})
    if inquiry:
        standin.escalate_dispute(dispute["id"])
    if won:
        standin.win_dispute(dispute["id"])
    else:
        await client.v1.disputes.close_async(dispute["id"])
    assert "dispute" in assert_all_conform(standin)
    assert standin.find("dispute", dispute["id"])["status"] == ("won" if won else "lost")


async def test_payouts_pending_refunds_and_conversion_conform(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: H6"""
    standin.settle_in("usd", 1.0731)
    standin.hold_refunds()
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    await standin.pay(session.id)
    refund = standin.refund(session.id, 700)
    assert_all_conform(standin)
    standin.finish_refund(refund["id"])
    (payout,) = standin.pay_out(everything=True)
    standin.finish_payout(payout["id"])
    assert_all_conform(standin)
    standin.fail_payout(payout["id"])
    by_hand = await client.v1.payouts.create_async(params={"amount": 100, "currency": "usd"})
    await client.v1.payouts.cancel_async(by_hand.id)
    assert {"payout", "refund", "balance_transaction"} <= assert_all_conform(standin)


async def test_webhook_endpoints_conform(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: H8"""
    made = await client.v1.webhook_endpoints.create_async(
        params={"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"]}
    )
    assert_conforms(made.to_dict(), stripe.WebhookEndpoint)
    assert {"webhook_endpoint"} == assert_all_conform(standin)


async def test_the_walk_itself_finds_what_is_wrong(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """The conformance test is worth nothing if it would pass anything."""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    good = standin.find("checkout.session", session.id)
    without = {name: value for name, value in good.items() if name != "created"}
    assert list(problems(good, stripe.checkout.Session, "s")) == []
    assert len(list(problems(without, stripe.checkout.Session, "s"))) == 1
    assert len(list(problems({**good, "colour": 1}, stripe.checkout.Session, "s"))) == 1
    nested = {**good, "total_details": {"amount_discount": 0, "amount_tax": 0, "tip": 1}}
    assert len(list(problems(nested, stripe.checkout.Session, "s"))) == 1
    assert len(list(problems({**good, "status": "closed"}, stripe.checkout.Session, "s"))) == 1
    assert len(list(problems({**good, "amount_total": "30"}, stripe.checkout.Session, "s"))) == 1


async def test_what_turns_later_conforms(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Appeals, decisions taken back, prevented disputes, reserves and payouts of less than nothing."""
    dispute_id = standin.dispute((await paid_session(standin, client))["id"])["id"]
    standin.lose_dispute(dispute_id)
    standin.appeal_dispute(dispute_id)
    evidence: Any = {"evidence": {"uncategorized_text": "They came."}}
    answered = await client.v1.disputes.update_async(dispute_id, params=evidence)
    assert answered.status == "appeal_under_review"
    standin.win_dispute(dispute_id)
    standin.take_back_dispute(dispute_id)
    for resolved in (False, True):
        other = await paid_session(standin, client)
        assert standin.prevent_dispute(other["id"], resolved=resolved)["status"] == "prevented"
    standin.reserve(500)
    standin.reserve(-200)
    balance = await client.v1.balance.retrieve_async()
    in_it = sum(row.amount for row in (*balance.available, *balance.pending))
    kept = standin.books()["accounts"][""]["balance_transactions"]
    assert sum(row["net"] for row in kept if row["balance_type"] == "risk_reserved") == 300
    assert in_it == sum(row["net"] for row in kept if row["balance_type"] == "payments")
    (payout,) = standin.pay_out(everything=True)
    assert payout["amount"] == in_it
    assert {"dispute", "payout", "balance_transaction"} <= assert_all_conform(standin)


@pytest.mark.parametrize(("slip", "currency"), INSTRUCTIONS.items())
@pytest.mark.parametrize("fails", [False, True])
async def test_slips_conform(
    standin: RunningStandin, client: stripe.StripeClient, slip: str, currency: str, fails: bool
) -> None:
    """Complete while its intent waits for the buyer: it can't be expired nor cancelled any more; then paid, or not."""
    customer = await client.v1.customers.create_async(params={"email": "mira@example.com"})
    asked = wishes(customer=customer.id)
    asked["line_items"][0]["price_data"]["currency"] = currency
    session = await client.v1.checkout.sessions.create_async(params=asked)
    await standin.pay(session.id, slip=slip)
    told = await client.v1.checkout.sessions.retrieve_async(session.id, params={"expand": ["payment_intent"]})
    assert isinstance(told.payment_intent, stripe.PaymentIntent)
    assert (told.status, told.payment_status) == ("complete", "unpaid")
    assert (told.payment_intent.status, told.payment_intent.latest_charge) == ("requires_action", None)
    for refused in (
        client.v1.checkout.sessions.expire_async(session.id),
        client.v1.payment_intents.cancel_async(told.payment_intent.id),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            await refused
    assert_all_conform(standin)
    standin.finish_delayed(session.id, fails=fails)
    intent = standin.find("payment_intent", told.payment_intent.id)
    assert intent["status"] == ("requires_payment_method" if fails else "succeeded")
    assert {"payment_intent", "charge", "payment_method"} <= assert_all_conform(standin)


async def test_a_wrong_account_at_a_bank_is_a_wrong_request(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Stripe: only what is wrong with a card is a `card_error`."""
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    with pytest.raises(StripeError) as refused:
        await standin.pay(session.id, iban="AT00")
    assert (refused.value.status, refused.value.kind) == (400, "invalid_request_error")
    with pytest.raises(StripeError) as refused:
        await standin.pay(session.id, "1234")
    assert (refused.value.status, refused.value.kind) == (402, "card_error")
