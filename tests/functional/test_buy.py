"""The buy form: into the cart, through the sign-in, and what bad input gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select

from events import choice, keeping
from events.catalogue import Catalogue
from events.models import Ticket
from shared.clock import ManualClock
from shared.database import Sessions
from shared.web import Tillgate
from tests import event_rows
from tests.support import Browser, browser, counted_statements, signed_in_client


@dataclass
class Event:
    """An event with three ticket types, and a ticket type of another event."""

    standard: UUID
    scarce: UUID
    closed: UUID
    elsewhere: UUID


PATH = "/p/hall/concert"


@pytest.fixture
async def event(sessions: Sessions, clock: ManualClock) -> Event:
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall")
        entry = await event_rows.add_entry(
            session, page, "concert", starts_at=clock.now() + timedelta(days=3)
        )
        other = await event_rows.add_entry(session, page, "other", starts_at=clock.now() + timedelta(days=3))
        opens = clock.now() + timedelta(days=1)
        return Event(
            (await event_rows.add_type(session, entry, "Standard", min_per_order=2, max_per_order=6)).id,
            (await event_rows.add_type(session, entry, "Scarce", capacity=1)).id,
            (await event_rows.add_type(session, entry, "Closed", sale_starts_at=opens)).id,
            (await event_rows.add_type(session, other)).id,
        )


def form_of(numbers: Iterable[tuple[UUID, object]]) -> dict[str, str]:
    return {f"quantity-{type_id}": str(number) for type_id, number in numbers}


async def in_cart(sessions: Sessions, user_id: UUID) -> int:
    async with sessions.begin() as session:
        query = select(func.count()).select_from(Ticket)
        return await session.scalar(query.where(Ticket.user_id == user_id, Ticket.state == "pending")) or 0


async def tickets(sessions: Sessions) -> int:
    async with sessions.begin() as session:
        return await session.scalar(select(func.count()).select_from(Ticket)) or 0


async def test_added_to_cart(app: Tillgate, sessions: Sessions, event: Event) -> None:
    """spec: B2, B13"""
    client = await signed_in_client(app)
    answer = await client.post(f"{PATH}/buy", form=form_of([(event.standard, 3), (event.scarce, "")]))
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{PATH}?added=3"
    assert await in_cart(sessions, client.user_id) == 3
    body = await (await client.get(answer.headers["Location"])).get_data(as_text=True)
    assert "Added to cart" in body
    assert 'href="/cart"' in body
    assert "If the event sells out before you pay, you are refunded." in body
    # more are added to what is there
    await client.post(f"{PATH}/buy", form=form_of([(event.standard, 2)]))
    assert await in_cart(sessions, client.user_id) == 5


@pytest.mark.parametrize("added", ["3", "x", "-1", "99999", "%C2%B2", ""])
async def test_visitors_all_get_the_same_page(app: Tillgate, event: Event, added: str) -> None:
    """What one visitor writes into the address is not kept for the next; nonsense is nothing."""
    await browser(app).get(f"{PATH}?added={added}")
    for client in (browser(app), await signed_in_client(app)):
        assert "Added to cart" not in await (await client.get(PATH)).get_data(as_text=True)


async def test_added_to_cart_as_a_fragment(app: Tillgate, sessions: Sessions, event: Event) -> None:
    """htmx gets the form with its notice, the badge, and the bar that leads to the checkout."""
    client = await signed_in_client(app)
    answer = await client.post(
        f"{PATH}/buy", form=form_of([(event.standard, 2)]), headers={"HX-Request": "true"}
    )
    body = await answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "Added to cart" in body
    assert '<span class="count" id="badge" hx-swap-oob="true">2</span>' in body
    assert '<p id="said" hx-swap-oob="innerHTML">2 tickets added. In your cart: 2 tickets.</p>' in body
    bar = body.partition('<div class="sticky"')[2]
    assert 'action="/checkout"' in bar
    assert "2 tickets" in bar
    assert "<html" not in body
    assert await in_cart(sessions, client.user_id) == 2


BAD = [
    ("nothing", {}, 422, choice.NOTHING_CHOSEN),
    ("zeros", {"standard": 0, "scarce": 0}, 422, choice.NOTHING_CHOSEN),
    ("too much", {"standard": 7}, 422, "Choose 2 to 6."),
    ("too few", {"standard": 1}, 422, "Choose 2 to 6."),
    ("negative", {"standard": -1}, 422, choice.NOT_A_NUMBER),
    ("huge", {"standard": "9" * 400}, 422, choice.NOT_A_NUMBER),
    ("large", {"standard": 999_999_999}, 422, "Choose 2 to 6."),
    ("a word", {"standard": "two"}, 422, choice.NOT_A_NUMBER),
    ("a fraction", {"standard": "2.5"}, 422, choice.NOT_A_NUMBER),
    ("other digits", {"standard": "٢"}, 422, choice.NOT_A_NUMBER),
    ("a good one and a bad one", {"standard": 2, "scarce": "x"}, 422, choice.NOT_A_NUMBER),
    ("another event's", {"elsewhere": 1}, 422, choice.OF_ANOTHER_EVENT),
    ("sold out", {"scarce": 2}, 409, "Only 1 left."),
    ("not on sale", {"closed": 1}, 409, "The sale has not begun yet."),
    ("one fits, one does not", {"standard": 2, "scarce": 2}, 409, "Only 1 left."),
]


@pytest.mark.parametrize("signed_in", [True, False])
@pytest.mark.parametrize(("_name", "numbers", "status", "words"), BAD, ids=[case[0] for case in BAD])
async def test_bad_input(
    app: Tillgate,
    sessions: Sessions,
    event: Event,
    _name: str,
    numbers: dict[str, object],
    status: int,
    words: str,
    signed_in: bool,
) -> None:
    """spec: B3; a message where the buyer looks, 4xx, nothing written, nothing kept."""
    client: Browser = await signed_in_client(app) if signed_in else browser(app)
    form = form_of((getattr(event, name), number) for name, number in numbers.items())
    for headers in ({}, {"HX-Request": "true"}):
        answer = await client.post(f"{PATH}/buy", form=form, headers=headers)
        assert answer.status_code == status
        assert words in await answer.get_data(as_text=True)
        assert not any(keeping.COOKIE in cookie for cookie in answer.headers.getlist("Set-Cookie"))
    assert await tickets(sessions) == 0


@pytest.mark.parametrize(
    "field",
    ["quantity-018f0000-0000-7000-8000-000000000000", "quantity-", "quantity-1 OR 1=1", "quantity-\x00"],
)
async def test_type_that_is_none(app: Tillgate, sessions: Sessions, event: Event, field: str) -> None:
    """A field that names no ticket type of this event."""
    client = await signed_in_client(app)
    answer = await client.post(f"{PATH}/buy", form={field: "1"})
    assert answer.status_code == 422
    assert choice.OF_ANOTHER_EVENT in await answer.get_data(as_text=True)
    assert await tickets(sessions) == 0


async def test_too_many_over_several_posts(app: Tillgate, sessions: Sessions, event: Event) -> None:
    """The type's largest number counts what the cart holds already."""
    client = await signed_in_client(app)
    await client.post(f"{PATH}/buy", form=form_of([(event.standard, 4)]))
    answer = await client.post(f"{PATH}/buy", form=form_of([(event.standard, 3)]))
    assert answer.status_code == 422
    assert "Your cart already holds 4." in await answer.get_data(as_text=True)
    assert await in_cart(sessions, client.user_id) == 4


async def test_no_such_event(app: Tillgate, event: Event) -> None:
    """404 for signed-in users and visitors."""
    for client in (await signed_in_client(app), browser(app)):
        assert (await client.post("/p/hall/nothing/buy", form={})).status_code == 404


async def test_signed_out_meanwhile(app: Tillgate, event: Event) -> None:
    """htmx of a page that was signed in: the browser goes to the sign-in as a whole."""
    answer = await browser(app).post(
        f"{PATH}/buy", form=form_of([(event.standard, 2)]), headers={"HX-Request": "true"}
    )
    assert answer.headers["HX-Redirect"].startswith("/sign-in?next=")


async def test_buying_takes_few_statements(app: Tillgate, event: Event) -> None:
    """The sign-in check, the lock with the offers, what is in the cart, the new tickets (issue: benchmark)."""
    client = await signed_in_client(app)
    app.extensions["catalogue"] = Catalogue(app.database, tick=lambda: 0.0)
    await client.get(PATH)
    app.extensions["identity_versions"].forget(client.user_id)
    with counted_statements(app) as statements:
        answer = await client.post(f"{PATH}/buy", form=form_of([(event.standard, 2)]))
    assert answer.headers["Location"] == f"{PATH}?added=2"
    assert len(statements) <= 4, statements
