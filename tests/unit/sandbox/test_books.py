"""The books: balance transactions of every kind, conversion, refunds that take their time, and the read-out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.sandbox.stripe.errors import StripeError
from shared.sandbox.stripe.running import RunningStandin, running_standin
from tests.unit.sandbox.conftest import connected, kinds, paid_session, wishes
from tests.unit.sandbox.test_disputes import FEE, balance_of
from tests.unit.sandbox.test_switches import turn

IBAN = "AT611904300234573201"


async def movements(client: stripe.StripeClient, **params: Any) -> list[stripe.BalanceTransaction]:
    """The account's balance transactions, oldest first."""
    asked: Any = {"limit": 100, **params}
    return (await client.v1.balance_transactions.list_async(params=asked)).data[::-1]


async def test_a_card_and_a_bank_account_are_booked_under_their_own_types(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Stripe: reporting categories; ids of payments and refunds of other methods begin with py."""
    card = await paid_session(standin, client)
    bank = await client.v1.checkout.sessions.create_async(params=wishes())
    await standin.pay(bank.id, iban=IBAN)
    assert len(await movements(client)) == 1
    standin.finish_delayed(bank.id)
    for session_id in (card["id"], bank.id):
        standin.fail_refund(standin.refund(session_id, 500)["id"])
    rows = await movements(client, expand=["data.source"])
    assert [(row.type, row.reporting_category, row.net) for row in rows] == [
        ("charge", "charge", 3000 - FEE),
        ("payment", "charge", 3000 - FEE),
        ("refund", "refund", -500),
        ("refund_failure", "refund_failure", 500),
        ("payment_refund", "refund", -500),
        ("payment_refund", "refund_failure", 500),
    ]
    prefixes = [
        row.source.id.partition("_")[0] for row in rows if isinstance(row.source, stripe.StripeObject)
    ]
    assert prefixes == ["ch", "py", "re", "re", "pyr", "pyr"]
    assert [(row.fee, len(row.fee_details)) for row in rows[:2]] == [(FEE, 1), (FEE, 1)]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_delayed_payment_may_be_in_the_balance_while_it_waits(
    standin: RunningStandin, client: stripe.StripeClient, fails: bool
) -> None:
    """Stripe: balance transaction types; one that fails is booked back as payment_failure_refund."""
    standin.booking(pending=True)
    session = await client.v1.checkout.sessions.create_async(params=wishes())
    await standin.pay(session.id, iban=IBAN)
    assert [(row.type, row.status) for row in await movements(client)] == [("payment", "pending")]
    standin.finish_delayed(session.id, fails=fails)
    types = [row.type for row in await movements(client)]
    assert types == ["payment", *(["payment_failure_refund"] if fails else [])]
    assert await balance_of(client) == (0 if fails else 3000 - FEE)
    charge = (await client.v1.charges.list_async()).data[0]
    assert (charge.failure_balance_transaction is not None) == fails


async def test_a_payment_may_be_booked_later(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Stripe: asynchronous capture; the fee is not known yet when the session completes."""
    await turn(standin, "booking", late=True)
    session = await paid_session(standin, client)
    charges: Any = {"payment_intent": session["payment_intent"]}
    assert (await client.v1.charges.list_async(params=charges)).data[0].balance_transaction is None
    assert await movements(client) == []
    standin.set_clock(datetime.now(UTC) + timedelta(minutes=1))
    (booked,) = await movements(client)
    assert (await client.v1.charges.list_async(params=charges)).data[0].balance_transaction == booked.id
    assert kinds(standin)[-1] == "charge.updated"


async def test_movements_are_found_by_every_filter(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 3 section 3: what needs more than the event is fetched."""
    session = await paid_session(standin, client)
    refund = standin.refund(session["id"], 500)
    assert [row.type for row in await movements(client, source=refund["id"])] == ["refund"]
    assert [row.type for row in await movements(client, type="charge")] == ["charge"]
    assert len(await movements(client, currency="EUR")) == 2
    assert await movements(client, currency="usd") == []
    assert await movements(client, created={"lt": refund["created"] - 60}) == []
    one = await client.v1.balance_transactions.retrieve_async(refund["balance_transaction"])
    assert (one.status, one.amount) == ("pending", -500)
    standin.set_clock(datetime.now(UTC) + timedelta(days=2))
    assert (await client.v1.balance_transactions.retrieve_async(one.id)).status == "available"


async def test_an_intent_leads_to_its_movement(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """spec: E4: one call finds what was paid and what it cost."""
    session = await paid_session(standin, client)
    path = "payment_intent.latest_charge.balance_transaction"
    found = await client.v1.checkout.sessions.retrieve_async(session["id"], params={"expand": [path]})
    intent = found.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert isinstance(intent.latest_charge.balance_transaction, stripe.BalanceTransaction)
    assert intent.latest_charge.balance_transaction.net == 3000 - FEE
    listed = await client.v1.payment_intents.list_async(
        params={"created": {"gte": intent.created}, "expand": ["data.latest_charge"]}
    )
    assert isinstance(listed.data[0].latest_charge, stripe.Charge)


async def test_an_account_may_settle_in_another_currency(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """Issue 3 section 2: posted in the currency they settle in."""
    standin.settle_in("gbp", 0.8573)
    session = await paid_session(standin, client)
    standin.settle_in("gbp", 0.9)
    refund = standin.refund(session["id"], 1000)
    dispute = standin.dispute(session["id"])
    charged, refunded, disputed = await movements(client)
    assert (charged.amount, charged.currency, charged.exchange_rate) == (2572, "gbp", 0.8573)
    assert (charged.fee, charged.net) == (63, 2509)
    assert (refunded.amount, refunded.exchange_rate) == (-900, 0.9)
    assert (disputed.amount, disputed.fee, dispute["currency"]) == (-1800, 1500, "eur")
    standin.win_dispute(dispute["id"])
    standin.fail_refund(refund["id"])
    assert await balance_of(client) == 2509
    (payout,) = standin.pay_out(everything=True)
    assert (payout["amount"], payout["currency"]) == (2509, "gbp")


async def test_a_refund_by_hand_has_no_metadata(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 3 section 3: a partial refund by Stripe's dashboard."""
    session = await paid_session(standin, client)
    made = standin.refund(session["payment_intent"], 700)
    refund = await client.v1.refunds.retrieve_async(made["id"])
    assert (refund.status, refund.amount, refund.to_dict()["metadata"]) == ("succeeded", 700, {})
    event = standin.events("charge.refunded")[0]["data"]
    assert (event["object"]["amount_refunded"], event["object"]["refunded"]) == (700, False)
    assert event["previous_attributes"] == {"amount_refunded": 0, "refunded": False}
    with pytest.raises(StripeError, match="greater than unrefunded"):
        standin.refund(session["id"], 2301)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_refund_may_wait_for_its_bank(
    standin: RunningStandin, client: stripe.StripeClient, fails: bool
) -> None:
    """spec: H2: pending first; the charge keeps its counts right either way."""
    standin.hold_refunds()
    session = await paid_session(standin, client)
    refund_id = standin.refund(session["id"], 500)["id"]
    assert (await client.v1.refunds.retrieve_async(refund_id)).status == "pending"
    (standin.fail_refund if fails else standin.finish_refund)(refund_id)
    refund = await client.v1.refunds.retrieve_async(refund_id)
    charge = await client.v1.charges.retrieve_async(str(refund.charge))
    assert (refund.status, charge.amount_refunded) == (("failed", 0) if fails else ("succeeded", 500))
    told = ["refund.updated", "charge.refund.updated"]
    assert kinds(standin)[-3:] == ([*told, "refund.failed"] if fails else ["charge.refunded", *told])
    with pytest.raises(StripeError, match="has a status of"):
        standin.finish_refund(refund_id)


@pytest.mark.parametrize(
    ("card", "first", "last"),
    [("4000000000007726", "pending", "succeeded"), ("4000000000005126", "succeeded", "failed")],
)
async def test_refunds_of_the_published_cards_settle_by_the_clock(
    standin: RunningStandin, client: stripe.StripeClient, card: str, first: str, last: str
) -> None:
    """Stripe: testing, refunds."""
    session = await paid_session(standin, client, card)
    refund = await client.v1.refunds.create_async(params={"payment_intent": session["payment_intent"]})
    assert refund.status == first
    standin.set_clock(datetime.now(UTC) + timedelta(minutes=1))
    assert (await client.v1.refunds.retrieve_async(refund.id)).status == last


async def test_the_books_say_what_moved(standin: RunningStandin, client: stripe.StripeClient) -> None:
    """Issue 3 section 7: the ledger equals the stand-in's balance to the cent."""
    session = await paid_session(standin, client)
    standin.refund(session["id"], 500)
    dispute = standin.dispute(session["id"], 1000)
    await paid_session(standin, client, account="acct_1")
    headers = {"Authorization": f"Bearer {standin.secret_key}"}
    http = standin.app.test_client()
    answer = await http.get("/_test/books", headers=headers)
    books = await answer.get_json()
    assert (answer.status_code, books) == (200, standin.books())
    ours = books["accounts"][""]
    total = sum(row["net"] for row in ours["balance_transactions"])
    assert ours["balance"]["eur"]["total"] == total == 3000 - FEE - 500 - 2500
    (intent,) = ours["payment_intents"]
    assert (intent["amount_received"], intent["amount_refunded"], intent["disputed"]) == (3000, 500, True)
    assert [(row["id"], row["net"]) for row in ours["disputes"]] == [(dispute["id"], -2500)]
    assert set(books["accounts"]) == {"", "acct_1"}
    assert (await http.get("/_test/books")).status_code == 401
    assert (await http.get("/_test/secrets", headers=headers)).status_code == 404


LIFE = st.lists(st.tuples(st.sampled_from(("pay", "refund", "fail", "dispute", "win", "lose", "payout", "back")),
                          st.integers(1, 3000)), max_size=25)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(life=LIFE, rate=st.decimals("0.2", "5", places=4))
async def test_the_balance_is_always_the_sum_of_its_movements(
    life: list[tuple[str, int]], rate: Decimal
) -> None:
    """Issue 3 section 7: whatever happens to the money, no cent comes from nowhere."""
    async with running_standin() as standin, connected(standin) as client:
        standin.settle_in("gbp", float(rate))
        for step, amount in life:
            await _step(standin, client, step, amount)
        rows = standin.books()["accounts"].get("", {"balance_transactions": []})["balance_transactions"]
        assert await balance_of(client) == sum(row["net"] for row in rows)
        for charge in standin.standin.store.book("").all("charge"):
            assert 0 <= charge["amount_refunded"] <= charge["amount"]


async def _step(standin: RunningStandin, client: stripe.StripeClient, step: str, amount: int) -> None:
    book = standin.standin.store.book("")
    if step == "pay":
        await paid_session(standin, client)
        return
    newest = {
        kind: next(iter(book.all(kind)), {"id": ""})["id"]
        for kind in ("charge", "refund", "dispute", "payout")
    }
    steps: dict[str, Any] = {
        "refund": lambda: standin.refund(newest["charge"], amount),
        "fail": lambda: standin.fail_refund(newest["refund"]),
        "dispute": lambda: standin.dispute(newest["charge"], amount, inquiry=amount % 2 == 0),
        "win": lambda: standin.win_dispute(newest["dispute"]),
        "lose": lambda: standin.lose_dispute(newest["dispute"]),
        "payout": lambda: standin.pay_out(everything=True),
        "back": lambda: standin.fail_payout(newest["payout"]),
    }
    try:
        steps[step]()
    except StripeError:
        return  # refused, in Stripe's words; anything else would fail this test
