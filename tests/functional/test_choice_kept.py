"""A visitor's choice goes with the sign-in: whoever completes it, finds the tickets in their cart, once."""

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import func, select, update

from events import keeping, kept
from events.models import Pool, Ticket, TicketType
from shared.clock import ManualClock
from shared.database import Sessions
from shared.identity.models import SignInChallenge, SignInErrand, User
from shared.ids import new_id
from shared.web import Tillgate
from tests import event_rows
from tests.functional.identity.asking import EMAIL, ask, code_in, count, link_in, newest_mail
from tests.shop import page_of
from tests.support import Browser, browser, signed_in_client

WAITS = "In your cart once you have signed in:"
TWO_FOR_CONCERT, ONE_FOR_RECITAL = "2 tickets for Concert", "1 ticket for Recital"


@dataclass
class Sale:
    """Two events of one page and a ticket type of each."""

    concert: UUID
    recital: UUID


@pytest.fixture
async def sale(sessions: Sessions, clock: ManualClock) -> Sale:
    async with sessions.begin() as session:
        page, soon = await event_rows.add_page(session, "hall"), clock.now() + timedelta(days=3)
        kinds = [
            await event_rows.add_type(
                session,
                await event_rows.add_entry(session, page, name, starts_at=soon),
                "Standard",
                capacity=5,
            )
            for name in ("concert", "recital")
        ]
        return Sale(kinds[0].id, kinds[1].id)


async def choose(client: Browser, event: str, type_id: UUID, number: int = 1) -> None:
    """As a visitor, on the event's page."""
    answer = await client.post(f"/p/hall/{event}/buy", form={f"quantity-{type_id}": str(number)})
    assert (answer.status_code, answer.location) == (303, f"/sign-in?next=%2Fp%2Fhall%2F{event}")


async def in_cart(app: Tillgate, email: str = EMAIL) -> dict[UUID, int]:
    """How many of each type are in the cart of somebody."""
    async with app.database.sessions() as session:
        rows = await session.execute(
            select(Ticket.ticket_type_id, func.count())
            .join(User, User.id == Ticket.user_id)
            .where(User.email == email, Ticket.state == "pending")
            .group_by(Ticket.ticket_type_id)
        )
        return {row[0]: row[1] for row in rows}


async def sell_out(app: Tillgate, type_id: UUID) -> None:
    """Nothing is left of it from here on."""
    async with app.database.sessions.begin() as session:
        kind = await session.get_one(TicketType, type_id)
        await session.execute(update(Pool).where(Pool.id == kind.pool_id).values(capacity=0))


async def test_link_in_another_browser(app: Tillgate, sale: Sale) -> None:
    """Chosen at a desk at two events, signed in on a phone: all of it is in the cart (spec: B1)."""
    desk, phone = browser(app), browser(app)
    await choose(desk, "concert", sale.concert, 2)
    await choose(desk, "recital", sale.recital)
    page = await page_of(await desk.get("/sign-in"))
    assert all(words in page for words in (WAITS, TWO_FOR_CONCERT, ONE_FOR_RECITAL, "/accent/"))
    mail = await ask(desk)
    assert not any(cookie.name == keeping.COOKIE for cookie in desk.cookie_jar)
    page = await page_of(await desk.get("/sign-in/code"))
    assert all(words in page for words in (WAITS, TWO_FOR_CONCERT, ONE_FOR_RECITAL, "/accent/"))
    answer = await phone.post(link_in(mail))
    assert (answer.status_code, answer.location) == (303, "/cart")
    assert await in_cart(app) == {sale.concert: 2, sale.recital: 1}
    assert "Added to cart." in await page_of(await phone.get("/cart"))


async def test_code_and_link_of_several_mails_bring_it_once(app: Tillgate, sale: Sale) -> None:
    """Whichever mail is used first brings all that was chosen until the last one; the others bring nothing more."""
    desk, phone, tablet = browser(app), browser(app), browser(app)
    await choose(desk, "concert", sale.concert, 2)
    first = await ask(desk)
    await choose(desk, "recital", sale.recital)
    second = await ask(desk, going_to="/p/hall")
    assert await count(app, SignInErrand) == 1
    assert (await phone.post(link_in(first))).location == "/cart"
    assert (await tablet.post(link_in(second))).location == "/p/hall"
    assert (await desk.post("/sign-in", form={"code": code_in(second)})).location == "/p/hall"
    assert await in_cart(app) == {sale.concert: 2, sale.recital: 1}


async def test_two_links_and_a_code_at_once_bring_it_once(app: Tillgate, sale: Sale) -> None:
    """Of three sign-ins in the same moment one carries it out; all three are signed in."""
    desk = browser(app)
    await choose(desk, "concert", sale.concert, 2)
    first, second = await ask(desk), await ask(desk)
    answers = await asyncio.gather(
        browser(app).post(link_in(first)),
        browser(app).post(link_in(second)),
        desk.post("/sign-in", form={"code": code_in(second)}),
    )
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert sorted(answer.location for answer in answers).count("/cart") >= 1
    assert await in_cart(app) == {sale.concert: 2}


async def test_after_the_link_elsewhere_a_new_choice_is_a_new_errand(app: Tillgate, sale: Sale) -> None:
    """What was carried out on the phone does not come along when the desk signs in with something else."""
    desk = browser(app)
    await choose(desk, "concert", sale.concert, 2)
    await browser(app).post(link_in(await ask(desk)))
    assert WAITS not in await page_of(await desk.get("/sign-in"))
    await choose(desk, "recital", sale.recital)
    assert TWO_FOR_CONCERT not in await page_of(await desk.get("/sign-in"))
    await desk.post("/sign-in", form={"code": code_in(await ask(desk))})
    assert await in_cart(app) == {sale.concert: 2, sale.recital: 1}


async def test_mail_that_lapsed_is_followed_by_another(app: Tillgate, sale: Sale, clock: ManualClock) -> None:
    """The choice outlives its first mail by as long as it was kept in a cookie before."""
    desk = browser(app)
    await choose(desk, "concert", sale.concert, 2)
    await ask(desk)
    clock.advance(minutes=50)
    assert TWO_FOR_CONCERT in await page_of(await desk.get("/sign-in"))
    code = code_in(await ask(desk))
    assert (await desk.post("/sign-in", form={"code": code})).location == "/cart"
    assert await in_cart(app) == {sale.concert: 2}
    late = browser(app)
    await choose(late, "recital", sale.recital)
    await ask(late, "late@example.org")
    clock.advance(minutes=61)
    assert WAITS not in await page_of(await late.get("/sign-in"))


async def test_same_event_again_is_the_newer_choice(app: Tillgate, sale: Sale) -> None:
    """Who goes back to change the number means the new one."""
    desk = browser(app)
    for number in (2, 3):
        await choose(desk, "concert", sale.concert, number)
        mail = await ask(desk)
    await browser(app).post(link_in(mail))
    assert await in_cart(app) == {sale.concert: 3}


async def test_stranger_who_asks_for_a_mail_is_seen_through(app: Tillgate, sale: Sale) -> None:
    """Mallory asks a mail for Ada with a choice of Mallory's: Ada reads it on the link's page, and leaves it out."""
    mallory, ada = browser(app), browser(app)
    await choose(mallory, "concert", sale.concert, 2)
    mail = await ask(mallory)
    page = await page_of(await ada.get(link_in(mail)))
    assert TWO_FOR_CONCERT in page
    assert "as it was chosen in the browser that asked for this mail:" in page
    answer = await ada.post(link_in(mail), form={"without": "1"})
    assert (answer.status_code, answer.location) == (303, "/")
    assert await in_cart(app) == {}
    # what Ada left out is not kept for anything else
    await mallory.post("/sign-in", form={"code": code_in(mail)})
    assert await in_cart(app) == {}


async def test_what_was_not_shown_is_not_carried_out(app: Tillgate, sale: Sale) -> None:
    """A stranger asks for a mail to somebody, who looks, and chooses more: it is shown first, and then given."""
    stranger, owner = browser(app), browser(app)
    await choose(stranger, "concert", sale.concert)
    link = link_in(await ask(stranger))
    shown = re.findall(r'name="shown" value="(\w+)"', await page_of(await owner.get(link)))
    await choose(stranger, "recital", sale.recital)
    await ask(stranger, "stranger@example.org")
    answer = await owner.post(link, form={"tried": "1", "shown": shown[0]})
    page = await page_of(answer)
    assert answer.status_code == 409
    assert "has changed since this page was shown" in page
    assert ONE_FOR_RECITAL in page
    assert await in_cart(app) == {}
    again = re.findall(r'name="shown" value="(\w+)"', page)
    assert (await owner.post(link, form={"tried": "1", "shown": again[0]})).status_code == 303
    assert await in_cart(app) == {sale.concert: 1, sale.recital: 1}


async def test_own_browser_is_asked_nothing(app: Tillgate, sale: Sale) -> None:
    """Where the mail was asked for, the page of the link says what goes into the cart, and no more."""
    desk = browser(app)
    await choose(desk, "concert", sale.concert, 2)
    page = await page_of(await desk.get(link_in(await ask(desk))))
    assert TWO_FOR_CONCERT in page
    assert "without" not in page


async def test_another_browsers_own_choice_joins(app: Tillgate, sale: Sale) -> None:
    """Something chosen on the phone meanwhile is the phone's own, and goes into the same cart."""
    desk, phone = browser(app), browser(app)
    await choose(desk, "concert", sale.concert, 2)
    mail = await ask(desk)
    await choose(phone, "recital", sale.recital)
    await phone.post(link_in(mail))
    assert await in_cart(app) == {sale.concert: 2, sale.recital: 1}
    assert not any(cookie.name == keeping.COOKIE for cookie in phone.cookie_jar)


async def test_what_no_longer_fits_is_told(app: Tillgate, sale: Sale) -> None:
    """What fits is in the cart, the rest is told; where nothing fits, it leads back to the event (spec: B1)."""
    desk, phone = browser(app), browser(app)
    await choose(desk, "concert", sale.concert, 2)
    await choose(desk, "recital", sale.recital)
    mail = await ask(desk, going_to="/p/hall/recital")
    await sell_out(app, sale.recital)
    assert (await phone.post(link_in(mail))).location == "/cart"
    page = await page_of(await phone.get("/cart"))
    assert "Added to cart." in page
    assert "Recital, Standard: Sold out." in page
    assert await in_cart(app) == {sale.concert: 2}
    late = browser(app)
    await choose(late, "concert", sale.concert, 1)
    mail = await ask(late, "late@example.org", going_to="/p/hall/concert")
    await sell_out(app, sale.concert)
    assert (await phone.post(link_in(mail))).location == "/p/hall/concert"
    assert "Concert, Standard: Sold out." in await page_of(await phone.get("/p/hall/concert"))


async def test_refused_mail_keeps_the_choice_where_it_is(app: Tillgate, sale: Sale) -> None:
    """An address with a slip in it: told, with what waits, and nothing of it is lost."""
    desk = browser(app)
    await choose(desk, "concert", sale.concert, 2)
    answer = await desk.post("/sign-in", form={"email": "ada@"})
    assert answer.status_code == 422
    assert TWO_FOR_CONCERT in await page_of(answer)
    assert await count(app, SignInErrand) == 0
    await browser(app).post(link_in(await ask(desk)))
    assert await in_cart(app) == {sale.concert: 2}


async def test_errands_are_tidied_with_their_challenges(
    app: Tillgate, sale: Sale, clock: ManualClock
) -> None:
    """Used or not, an errand goes with the last challenge that leads to it; sign-ins without one make none."""
    desk = browser(app)
    await ask(desk, "grace@example.org")
    assert await count(app, SignInErrand) == 0
    await choose(desk, "concert", sale.concert, 2)
    await ask(desk)
    clock.advance(minutes=30)
    await browser(app).post(link_in(await ask(desk)))
    clock.advance(hours=24)
    await app.sweeps["sign_in"](clock.now())
    assert (await count(app, SignInChallenge), await count(app, SignInErrand)) == (1, 1)
    clock.advance(minutes=16)
    await app.sweeps["sign_in"](clock.now())
    assert (await count(app, SignInChallenge), await count(app, SignInErrand)) == (0, 0)


async def test_forged_choice_is_nothing(app: Tillgate, sale: Sale) -> None:
    """A cookie that is not ours, or somebody else's challenge by its bare id, brings nothing."""
    theirs = browser(app)
    await choose(theirs, "concert", sale.concert, 2)
    await ask(theirs)
    async with app.database.sessions() as session:
        challenge_id = await session.scalar(select(SignInChallenge.id))
    text = kept.Kept({new_id(): {sale.concert: 1}}).dump()
    for forged in (URLSafeTimedSerializer("another", salt="tillgate choices").dumps(text), "", "x" * 3000):
        client = browser(app)
        client.set_cookie("localhost", keeping.COOKIE, forged)
        client.set_cookie("localhost", "sign-in", str(challenge_id), path="/sign-in")
        assert WAITS not in await page_of(await client.get("/sign-in"))
        await client.post("/sign-in", form={"email": "mallory@example.org"})
        assert (await client.post(link_in(await newest_mail(app)))).location == "/"
        assert await in_cart(app, "mallory@example.org") == {}


async def test_who_is_signed_in_has_no_errand(app: Tillgate, sale: Sale) -> None:
    """Their choice is in the cart at once."""
    client = await signed_in_client(app)
    await client.post("/p/hall/concert/buy", form={f"quantity-{sale.concert}": "1"})
    assert await in_cart(app) == {sale.concert: 1}
    assert not any(cookie.name == keeping.COOKIE for cookie in client.cookie_jar)


async def buy_now(client: Browser, event: str, type_id: UUID, number: int) -> None:
    """Pressed on a page that was signed in until now."""
    answer = await client.post(
        f"/p/hall/{event}/buy", form={f"quantity-{type_id}": str(number), "then": "pay", "token": "any"}
    )
    assert (answer.status_code, answer.location) == (303, f"/sign-in?next=%2Fp%2Fhall%2F{event}")


async def test_buy_now_goes_on_after_the_sign_in(app: Tillgate, sale: Sale) -> None:
    """To the event with the numbers filled in, in any browser; what was chosen besides is in the cart."""
    desk, phone = browser(app), browser(app)
    await buy_now(desk, "concert", sale.concert, 2)
    page = await page_of(await desk.get("/sign-in"))
    assert "Waiting for you once you have signed in:" in page
    assert f"{TWO_FOR_CONCERT}, to buy now" in page
    way_on = (await phone.post(link_in(await ask(desk)))).location
    assert way_on == f"/p/hall/concert?quantity-{sale.concert}=2"
    page = await page_of(await phone.get(way_on))
    assert "Press Buy now to go on to the payment." in page
    assert re.search(rf'name="quantity-{sale.concert}"[^>]* value="2"', page)
    assert await in_cart(app) == {}
    await choose(tablet := browser(app), "recital", sale.recital)
    await buy_now(tablet, "concert", sale.concert, 1)
    page = await page_of(await tablet.get("/sign-in"))
    assert f"{ONE_FOR_RECITAL}</strong>" in page
    assert "1 ticket for Concert, to buy now</strong>" in page
    way_on = (await phone.post(link_in(await ask(tablet)))).location
    assert way_on == f"/p/hall/concert?quantity-{sale.concert}=1"
    assert await in_cart(app) == {sale.recital: 1}


async def test_buy_now_that_sold_out_meanwhile_is_told_at_its_field(app: Tillgate, sale: Sale) -> None:
    """And a later choice for the cart, of the same event or another, is no "Buy now" any more."""
    desk, phone = browser(app), browser(app)
    await buy_now(desk, "concert", sale.concert, 2)
    mail = await ask(desk)
    await sell_out(app, sale.concert)
    app.extensions["catalogue"].forget()
    way_on = (await phone.post(link_in(mail))).location
    assert f'id="f-quantity-{sale.concert}-error">Sold out.' in await page_of(await phone.get(way_on))
    await buy_now(desk, "recital", sale.recital, 2)
    await choose(desk, "recital", sale.recital)
    assert (await phone.post(link_in(await ask(desk)))).location == "/cart"
    assert await in_cart(app) == {sale.recital: 1}


async def test_numbers_in_an_address_are_for_who_is_signed_in(app: Tillgate, sale: Sale) -> None:
    """A visitor's page is the same for all; nonsense is told, and nothing is written by a look."""
    path = f"/p/hall/concert?quantity-{sale.concert}="
    assert f'name="quantity-{sale.concert}" type="number"' in await page_of(
        await browser(app).get(path + "2")
    )
    assert 'value="2"' not in await page_of(await browser(app).get(path + "2"))
    client = await signed_in_client(app)
    for number, words in (("x", "Enter a whole number"), ("999", "Choose 1 to"), ("9" * 400, "whole number")):
        answer = await client.get(path + number)
        assert answer.status_code == 200
        assert words in await page_of(answer)
    answer = await client.get(f"/p/hall/concert?quantity-{sale.recital}=1")
    assert "does not belong to this event" in await page_of(answer)
    assert await in_cart(app) == {}


def test_no_more_is_kept_than_fits() -> None:
    """Ten events and thirty types, the newest; as a text they fit into a cookie with room to spare."""
    many = kept.Kept()
    events = [new_id() for _ in range(12)]
    for event in events:
        many += kept.Kept({event: {new_id(): 99 for _ in range(3)}})
    assert list(many.chosen) == events[2:]
    assert kept.read(many.dump()) == many
    many += kept.Kept({events[0]: {new_id(): 1 for _ in range(25)}})
    assert list(many.chosen) == [events[11], events[0]]
    full = kept.Kept({event: {new_id(): 10 for _ in range(3)} for event in events[:10]})
    assert len(URLSafeTimedSerializer("key", salt="any").dumps(full.dump())) < 3000
    assert not kept.Kept()
    assert kept.Kept().dump() == ""
