"""Every part of the design renders, in a page whose policy allows no inline style or script."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from quart import render_template_string

from shared import colour, formats
from shared.clock import ManualClock
from shared.contracts.dtos import PageDTO, TicketDTO
from shared.contracts.states import OrderState, TicketState
from shared.errors import Invalid
from shared.ids import new_id
from shared.settings import ROOT
from shared.web import Tillgate, init_web

NOW = datetime(2026, 12, 12, 18, 44, tzinfo=UTC)
PAGE = PageDTO(
    id=new_id(),
    slug="nordlicht",
    name="Nordlicht & friends <b>",
    currency="EUR",
    time_zone="Europe/Vienna",
    hold_minutes=30,
    stripe_account="",
    delayed_methods=False,
    accent="#8a3b12",
)
TICKET = TicketDTO(
    id=new_id(),
    entry_id=new_id(),
    ticket_type_id=new_id(),
    page=PAGE,
    user_id=new_id(),
    cost=Decimal("24.50"),
    calendar_container_id=new_id(),
    calendar_container_type="page",
    code="TG7Q4MXK29",
    entry_title="A night of slow songs in the old swimming hall",
    entry_slug="slow-songs",
    ticket_type_name="Standing",
    place="Jörgerbad, Vienna",
    starts_at=NOW + timedelta(minutes=16),
    ends_at=NOW + timedelta(hours=3, minutes=16),
    state=TicketState.CONFIRMED,
    order_id=new_id(),
    reserved_until=None,
    hold_minutes=30,
    entry_cancelled=False,
)


def make_app() -> Tillgate:
    """A bare shell: the templates need no domain, no identity and no database."""
    app = Tillgate("tillgate", root_path=str(ROOT), template_folder="templates", static_folder="static")
    app.secret_key = "made up"
    app.clock = ManualClock()
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    init_web(app)
    formats.init_app(app)
    colour.init_app(app)
    return app


async def gallery(app: Tillgate) -> str:
    """Every part of the design in one page."""
    tickets = [
        TICKET,
        replace(TICKET, state=TicketState.RESERVED, cost=Decimal(0), entry_title="Kammermusik at noon"),
        replace(TICKET, state=TicketState.CANCELLED),
    ]
    return await render_template_string(
        Path(__file__).with_name("gallery.html").read_text(),
        now=NOW,
        reserved_until=NOW + timedelta(minutes=20),
        starts_at=TICKET.starts_at,
        ends_at=TICKET.ends_at,
        tickets=tickets,
        ticket_states=[state.value for state in TicketState],
        order_states=list(OrderState),
    )


class Reader(HTMLParser):
    """Collects what the policy forbids, and what assistive technology needs."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.fields: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.forbidden += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.forbidden.append(tag)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag == "label":
            self.labelled.append(given.get("for") or "")
        if tag == "input" and given.get("type") != "hidden":
            self.fields.append(given.get("id") or "")


@pytest.fixture
def app() -> Tillgate:
    return make_app()


async def test_gallery_keeps_the_policy_and_labels_every_field(app: Tillgate) -> None:
    """No inline style or script; every field has a label; no id twice."""
    async with app.test_request_context("/"):
        html = await gallery(app)
    reader = Reader()
    reader.feed(html)
    assert reader.forbidden == []
    assert set(reader.fields) <= set(reader.labelled)
    assert len(reader.ids) == len(set(reader.ids))


async def test_parts_say_it_in_words(app: Tillgate) -> None:
    """Dates with their zone, prices, states and the hold are words (spec: B14, H10)."""
    async with app.test_request_context("/"):
        html = await gallery(app)
    assert 'Saturday 12 December 2026, <span class="nowrap">20:00–23:00</span></time>' in html
    assert "Vienna time" in html
    assert ">20:04</time> <span data-zone-name>(Vienna)</span>" in html
    assert ">20 minutes left</span>" in html
    assert "The hold has ended." in html
    assert "€24.50" in html
    assert "Payment on its way" in html
    assert "Nordlicht &amp; friends &lt;b&gt;" in html


async def test_stub_links_only_where_told(app: Tillgate) -> None:
    """A stub with an address is a link, a void ticket says so, an odd address stays inside its attribute."""
    async with app.test_request_context("/"):
        html = await render_template_string(
            '{% import "_macros/ui.html" as ui %}{{ ui.stub(t) }}{{ ui.stub(void, "/x y\\"onclick=") }}',
            t=TICKET,
            void=replace(TICKET, state=TicketState.CANCELLED),
        )
    assert html.count("<a ") == 1
    assert 'href="/x y&#34;onclick="' in html
    assert html.count("stub--void") == 1


async def test_page_shows_flashed_messages_and_who_is_in(app: Tillgate) -> None:
    """The header knows the visitor from the signed-in buyer with three things in the cart (spec: B11)."""
    async with app.test_request_context("/"):
        visitor = await render_template_string('{% extends "base.html" %}')
        buyer = await render_template_string('{% extends "base.html" %}', signed_in=True, badge_count=3)
    assert 'href="/sign-in"' in visitor
    assert "Sign out" not in visitor
    assert 'href="/account"' in buyer
    assert ">3</span>" in buyer


async def test_error_is_a_page_or_a_fragment(app: Tillgate) -> None:
    """An unknown address is a page that leads on; htmx gets the words only."""

    @app.get("/wrong")
    async def wrong() -> str:
        raise Invalid("The number must be between 1 and 8.")

    client = app.test_client()
    page = await client.get("/nowhere")
    assert page.status_code == 404
    assert "See what is on" in await page.get_data(as_text=True)
    fragment = await client.get("/wrong", headers={"HX-Request": "true"})
    text = await fragment.get_data(as_text=True)
    assert fragment.status_code == 422
    assert "between 1 and 8" in text
    assert "<html" not in text


async def test_accent_is_served_and_kept(app: Tillgate) -> None:
    """A page's accent is a stylesheet that never changes; what is no usable colour is not there."""
    client = app.test_client()
    answer = await client.get("/accent/1f5c4a.css")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/css")
    assert "immutable" in answer.headers["Cache-Control"]
    assert "--accent:#1f5c4a" in await answer.get_data(as_text=True)
    for unusable in ("ffffff", "red", "1f5c4a}body{"):
        assert (await client.get(f"/accent/{unusable}.css")).status_code == 404
