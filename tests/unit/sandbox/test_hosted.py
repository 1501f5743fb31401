"""The payment page, driven as a browser without JavaScript would."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from quart import Response

from shared.sandbox.stripe.running import RunningStandin
from tests.unit.sandbox.conftest import wishes

CARD = {"email": "mira@example.com", "method": "card", "number": "4242 4242 4242 4242", "name": "Mira"}


@pytest.fixture
async def session(client: stripe.StripeClient) -> stripe.checkout.Session:
    """An open session that shows who sells."""
    return await client.v1.checkout.sessions.create_async(
        params=wishes(branding_settings={"display_name": "Jazz <im> Keller"})
    )


async def text_of(response: Response) -> str:
    """A page's text."""
    return str(await response.get_data(as_text=True))


async def test_the_page_shows_what_is_paid_to_whom(
    standin: RunningStandin, session: stripe.checkout.Session
) -> None:
    """Issue 2 section 5"""
    answer = await standin.app.test_client().get(f"/c/pay/{session.id}")
    page = await text_of(answer)
    for words in (
        "no real money",
        "Jazz &lt;im&gt; Keller",
        "Standing",
        "€30.00",
        "http://shop.test/cart",
        "24 hours",
    ):
        assert words in page
    assert "<script" not in page
    assert "style=" not in page
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self' http://shop.test" in policy


async def test_paying_leads_back_to_the_shop_and_charges_once(
    standin: RunningStandin, client: stripe.StripeClient, session: stripe.checkout.Session
) -> None:
    """The peers' double click."""
    browser = standin.app.test_client()
    for _ in range(2):
        answer = await browser.post(f"/c/pay/{session.id}", form=CARD)
        assert answer.status_code == 303
        assert answer.headers["Location"] == f"http://shop.test/checkout/complete?session_id={session.id}"
    assert len((await client.v1.charges.list_async()).data) == 1
    assert "payment is complete" in await text_of(await browser.get(f"/c/pay/{session.id}"))


async def test_a_payment_can_be_made_that_its_bank_disputes(
    standin: RunningStandin, client: stripe.StripeClient, session: stripe.checkout.Session
) -> None:
    """spec: H4: a person can see in the demo what a dispute does."""
    browser = standin.app.test_client()
    assert "4000 0000 0000 0259" in await text_of(await browser.get(f"/c/pay/{session.id}?with=disputed"))
    await browser.post(f"/c/pay/{session.id}", form={**CARD, "number": "4000 0000 0000 0259"})
    (dispute,) = (await client.v1.disputes.list_async()).data
    assert (dispute.status, dispute.amount) == ("needs_response", 3000)


async def test_a_declined_card_stays_on_the_page(
    standin: RunningStandin, session: stripe.checkout.Session
) -> None:
    """Issue 2 section 5"""
    browser = standin.app.test_client()
    refused = await browser.post(f"/c/pay/{session.id}", form={**CARD, "number": "4000000000000002"})
    page = await text_of(refused)
    assert (refused.status_code, "Your card was declined." in page) == (402, True)
    assert "mira@example.com" in page
    assert (await browser.post(f"/c/pay/{session.id}", form=CARD)).status_code == 303


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": ""},
        {"email": "nobody"},
        {"number": ""},
        {"number": "1234"},
        {"number": "4" * 4000},
        {"method": "gold"},
        {"method": ""},
        {"method": "bacs_debit", "number": "00012345"},
    ],
)
async def test_a_wrong_entry_gets_a_message_and_changes_nothing(
    standin: RunningStandin, session: stripe.checkout.Session, wrong: dict[str, str]
) -> None:
    """Issue 2 section 5"""
    answer = await standin.app.test_client().post(f"/c/pay/{session.id}", form={**CARD, **wrong})
    assert answer.status_code == 402
    assert 'role="alert"' in await text_of(answer)
    assert standin.find("checkout.session", session.id)["status"] == "open"


async def test_delayed_methods_are_offered_only_where_the_session_takes_them(
    standin: RunningStandin, client: stripe.StripeClient, session: stripe.checkout.Session
) -> None:
    """Issue 2 section 4"""
    browser = standin.app.test_client()
    assert "IBAN" in await text_of(await browser.get(f"/c/pay/{session.id}?with=delayed"))
    only_cards = await client.v1.checkout.sessions.create_async(
        params=wishes(allowed_payment_method_types=["card"])
    )
    page = await text_of(await browser.get(f"/c/pay/{only_cards.id}?with=delayed"))
    assert "IBAN" not in page
    assert "Delayed" not in page


async def test_a_delayed_payment_leads_back_too(
    standin: RunningStandin, session: stripe.checkout.Session
) -> None:
    """spec: C3"""
    browser = standin.app.test_client()
    entry = {"email": "mira@example.com", "method": "sepa_debit", "number": "AT61 1904 3002 3457 3201"}
    assert (await browser.post(f"/c/pay/{session.id}", form=entry)).status_code == 303
    assert standin.find("checkout.session", session.id)["payment_status"] == "unpaid"
    assert "on its way" in await text_of(await browser.get(f"/c/pay/{session.id}"))


async def test_an_expired_session_says_so_and_takes_nothing(
    standin: RunningStandin, client: stripe.StripeClient, session: stripe.checkout.Session
) -> None:
    """spec: B9"""
    standin.set_clock(datetime.now(UTC) + timedelta(hours=25))
    browser = standin.app.test_client()
    for answer in (
        await browser.get(f"/c/pay/{session.id}"),
        await browser.post(f"/c/pay/{session.id}", form=CARD),
    ):
        assert "has expired" in await text_of(answer)
    assert (await client.v1.charges.list_async()).data == []


async def test_an_unknown_session_is_404(standin: RunningStandin) -> None:
    """Issue 2 section 5"""
    browser = standin.app.test_client()
    calls: list[Callable[..., object]] = [browser.get, browser.post]
    for call in calls:
        answer = await call("/c/pay/cs_test_none")  # type: ignore[misc]
        assert answer.status_code == 404


async def test_nothing_to_pay_asks_only_for_the_address(
    standin: RunningStandin, client: stripe.StripeClient
) -> None:
    """spec: B3"""
    free = {
        "price_data": {"currency": "eur", "unit_amount": 0, "product_data": {"name": "Free"}},
        "quantity": 1,
    }
    session = await client.v1.checkout.sessions.create_async(params=wishes(line_items=[free]))
    browser = standin.app.test_client()
    assert "Card number" not in await text_of(await browser.get(f"/c/pay/{session.id}"))
    assert (await browser.post(f"/c/pay/{session.id}", form={"email": "mira@example.com"})).status_code == 303
