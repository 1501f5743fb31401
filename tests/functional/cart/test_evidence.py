"""The evidence pack for a dispute: complete, only the page's own part, and readable in every script we sell in."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from cart.books import keeping
from cart.complete import Returned
from cart.models import Order
from cart.office import evidence_pdf
from events.models import Entry, Page, Ticket
from shared.contracts.states import PageRole
from shared.models import OutgoingMail
from tests import event_rows
from tests.cart_world import World
from tests.functional.cart.test_disputes import tell
from tests.pdf_text import read_back
from tests.shop import Shop, page_of
from tests.support import Browser

SCRIPTS = "Žižkov Τρίτη Пётр Đặng Ñandú ἀρχή 音楽会 서울 नमस्ते 🎭"


async def staff(shop: Shop, slug: str = "hall") -> Browser:
    """Somebody who sells on a page."""
    client = await shop.buyer(f"staff@{slug}.example")
    async with shop.database.sessions.begin() as session:
        page = (await session.scalars(select(Page).where(Page.slug == slug))).one()
        await event_rows.add_member(session, page, client.user_id, PageRole.STAFF)
    return client


async def test_everything_that_a_bank_asks_for(shop: Shop) -> None:
    """Order, buyer, payment, the mails with their text, tickets with times, history; JSON and PDF (spec: H4)."""
    kind = await shop.world.sell(cost=1250)
    buyer = await shop.buyer_with(kind, 2)
    order_id, session_id = await shop.order_of(buyer)
    await shop.world.settle(shop.payments.pay(session_id))
    async with shop.database.sessions.begin() as session:
        await session.execute(update(Entry).values(title=SCRIPTS))
        await session.execute(update(OutgoingMail).values(sent_at=shop.clock.now(), state="sent"))
        first = (await session.scalars(select(Ticket).order_by(Ticket.id))).first()
        assert first is not None
        first.state, first.checked_in_at = "checked_in", shop.clock.now()
        secrets = [first.code, str(first.id)]
    await tell(shop.world, shop.payments.dispute(session_id))
    client = await staff(shop)
    page = await page_of(await client.get(f"/organizer/hall/orders/{order_id}"))
    assert "the owner of the card says that they did not pay" in page
    assert "Answer it in Stripe’s dashboard by" in page
    assert f"/organizer/hall/orders/{order_id}/evidence.pdf" in page
    answer = await client.get(f"/organizer/hall/orders/{order_id}/evidence.json")
    pack, text = await answer.get_json(), await page_of(answer)
    assert pack["order"]["buyer"] == "ada@example.org"
    assert pack["order"]["total"] == "€25.00"
    assert pack["payments"][0]["payment_intent"] == f"pi_{session_id}"
    (mail,) = pack["mails"]
    assert mail["sent_at"] is not None
    assert "You are in" in mail["text"]
    assert [ticket["used_at_the_door_at"] is not None for ticket in pack["tickets"]] == [True, False]
    assert [one["what"] for one in pack["history"]][-1] == "The buyer’s bank disputes the payment"
    assert not any(str(secret) in text for secret in secrets), "what opens a ticket is not in it"
    answer = await client.get(f"/organizer/hall/orders/{order_id}/evidence.pdf")
    body = await answer.get_data(as_text=False)
    assert answer.headers["Content-Type"] == "application/pdf"
    assert "evidence-" in answer.headers["Content-Disposition"]
    assert body.startswith(b"%PDF-")


async def test_an_umlaut_domain_is_shown_as_it_is_typed(shop: Shop) -> None:
    """In the evidence and in both files for spreadsheets, not only on pages: anna@xn--mller-kva.de is nobody's name."""
    kind = await shop.world.sell(cost=1250)
    buyer = await shop.buyer_with(kind, email="anna@xn--mller-kva.de")
    order_id = await shop.paid_order_of(buyer)
    await keeping.post_new(shop.database.sessions, shop.world.till, now=shop.clock.now())
    client = await staff(shop)
    order = f"/organizer/hall/orders/{order_id}"
    pack = await (await client.get(f"{order}/evidence.json")).get_json()
    assert pack["order"]["buyer"] == pack["mails"][0]["to"] == "anna@müller.de"
    text = read_back(await (await client.get(f"{order}/evidence.pdf")).get_data(as_text=False))
    assert "Buyer anna@müller.de" in text
    assert "To anna@müller.de" in text
    async with shop.database.sessions() as session:
        for mail in await session.scalars(select(OutgoingMail)):
            assert "xn--" not in mail.subject + mail.text + mail.html
    for path in ("money.csv", "entries/concert/door-list.csv"):
        assert ",anna@müller.de," in await page_of(await client.get(f"/organizer/hall/{path}")), path
    assert Returned.to(Order(email="anna@xn--mller-kva.de")).masked_email == "a…@müller.de"


def drawn(title: str) -> bytes:
    """A small pack with this title, as a PDF."""
    parts: dict[str, list[dict[str, str]]] = {part: [] for part in evidence_pdf.HEADINGS}
    parts["tickets"] = [{"event": title, "confirmed_at": "2026-11-21T04:05:06+00:00"}]
    pack = {
        "order": {"number": "AB-12", "buyer": title},
        "seller": title,
        "made_at": "2026-11-21T04:05:06+00:00",
    }
    return evidence_pdf.render(pack | parts)


def test_pdf_fonts() -> None:
    """Pain "PDF fonts" (pretix 4340, 1484, open-event-server 9000): every letter is there when it is read back."""
    assert read_back(drawn(SCRIPTS)).count(SCRIPTS) == 3, "of the seller, of the buyer and of the ticket"


@pytest.mark.parametrize("title", ["\u202e\x07", "", "x" * 3000, "\U00010380"])
def test_letters_that_no_font_has_do_not_break_it(title: str) -> None:
    """A box in their place, never an error."""
    assert drawn(title).startswith(b"%PDF-")


async def test_only_the_page_s_own_part(shop: Shop) -> None:
    """Of an order that two pages share: own lines and tickets, no payment, no text of the common mail (spec: D10)."""
    hall, club = await shop.world.sell(cost=1000), await shop.world.sell("recital", page="club", cost=700)
    client = await shop.buyer_with(hall)
    await shop.world.put(client.user_id, club, 1)
    order_id = await shop.paid_order_of(client)
    seller = await staff(shop, "club")
    answer = await seller.get(f"/organizer/club/orders/{order_id}/evidence.json")
    text = json.dumps(await answer.get_json(), ensure_ascii=False)
    assert "Recital" in text
    assert "€7.00" in text
    for foreign in ("Concert", "€10.00", "€17.00", "pi_"):
        assert foreign not in text
    assert (await seller.get(f"/organizer/hall/orders/{order_id}/evidence.pdf")).status_code == 404


async def test_wrong_amount_warns_the_organizer(shop: Shop) -> None:
    """A mail to those who sell and a word on the order's page; the money goes back (spec: H2)."""
    kind = await shop.world.sell(cost=1000)
    client = await staff(shop)
    _, order_id, session_id = await shop.world.bought(kind)
    await shop.world.settle(replace(shop.payments.pay(session_id), amount_total=900))
    async with shop.database.sessions() as session:
        mails = {mail.to: mail for mail in await session.scalars(select(OutgoingMail))}
    assert "Wrong amount paid" in mails["staff@hall.example"].subject
    assert "€9.00 arrived for an order of €10.00" in mails["staff@hall.example"].text
    assert "another amount" in await page_of(await client.get(f"/organizer/hall/orders/{order_id}"))
    assert [refund.amount for refund in await shop.world.refunds()] == [900]


async def test_the_late_buyer_is_told(world: World) -> None:
    """Paid after the hold had ended, the tickets were still free: the mail says so (spec: H2)."""
    _, order_id, session_id = await world.bought(await world.sell(capacity=1))
    world.clock.advance(minutes=31)
    await world.release(order_id)
    world.payments.known[session_id] = replace(world.payments.known[session_id], status="open")
    await world.settle(world.payments.pay(session_id))
    async with world.sessions() as session:
        (mail,) = await session.scalars(select(OutgoingMail))
    assert "Your payment came after the time to pay had run out" in mail.text
