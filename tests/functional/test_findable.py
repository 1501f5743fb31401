"""How search engines, messengers and calendars see the public pages."""

import json
import re
from datetime import datetime, timedelta
from html import unescape
from typing import Any

from shared.clock import ManualClock
from shared.contracts.states import EntryState
from shared.database import Sessions
from shared.web import Tillgate
from tests import event_rows
from tests.support import browser, signed_in_client

URL = "http://shop.test"
NASTY = "</script><script>alert(1)</script>"


async def read(app: Tillgate, path: str) -> str:
    answer = await browser(app).get(path)
    assert answer.status_code == 200, path
    return str(await answer.get_data(as_text=True))


def data_of(body: str) -> dict[str, Any]:
    """The page's one piece of JSON-LD."""
    (text,) = re.findall(r'<script type="application/ld\+json">(.*?)</script>', body, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


async def add_events(sessions: Sessions, clock: ManualClock) -> None:
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall", name="Hall & Sons")
        soon = datetime.fromisoformat("2027-01-08T19:00:00+00:00")
        entry = await event_rows.add_entry(
            session,
            page,
            "concert",
            title=f"A {NASTY}",
            starts_at=soon,
            text="Slow\n\nsongs",
            picture="dome.svg",
        )
        await event_rows.add_type(session, entry, "Gallery", cost=2950)
        await event_rows.add_type(session, entry, "Box", cost=9900, capacity=0)
        opens = clock.now() + timedelta(days=1)
        await event_rows.add_type(session, entry, "Later", cost=0, sale_starts_at=opens)
        for slug, state in (("gone", EntryState.CANCELLED), ("draft", EntryState.DRAFT)):
            await event_rows.add_entry(session, page, slug, starts_at=soon, state=state)
        past = clock.now() - timedelta(days=9)
        await event_rows.add_entry(session, page, "past", starts_at=past)


async def test_an_event_as_data(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """schema.org Event; what an organizer wrote can't end the script."""
    await add_events(sessions, clock)
    body = await read(app, "/p/hall/concert")
    assert NASTY not in body
    data = data_of(body)
    assert (data["@type"], data["name"]) == ("Event", f"A {NASTY}")
    assert data["startDate"] == "2027-01-08T20:00:00+01:00"
    assert data["eventStatus"] == "https://schema.org/EventScheduled"
    assert data["location"]["name"]
    assert data["image"][0].startswith(f"{URL}/static/pictures/dome.svg")
    offers = {
        offer["name"]: (offer["price"], offer["priceCurrency"], offer["availability"].rpartition("/")[2])
        for offer in data["offers"]
    }
    assert offers == {
        "Gallery": ("29.50", "EUR", "InStock"),
        "Box": ("99.00", "EUR", "SoldOut"),
        "Later": ("0.00", "EUR", "PreOrder"),
    }
    gone = data_of(await read(app, "/p/hall/gone"))
    assert gone["eventStatus"] == "https://schema.org/EventCancelled"
    # a buyer's page is sent without it
    buyer = await signed_in_client(app)
    assert "ld+json" not in await (await buyer.get("/p/hall/concert")).get_data(as_text=True)


async def test_public_pages_say_how_they_are_passed_on(
    app: Tillgate, sessions: Sessions, clock: ManualClock
) -> None:
    """One address each, whatever the query; title and text for messengers."""
    await add_events(sessions, clock)
    for path in ("/", "/p/hall", "/p/hall/concert"):
        body = await read(app, f"{path}?utm_source=mail")
        assert f'<link rel="canonical" href="{URL}{path}">' in body
        assert f'<meta property="og:url" content="{URL}{path}">' in body
        assert '<meta property="og:title" content="' in body
    text = unescape(body.partition('property="og:description" content="')[2].partition('"')[0])
    assert text.startswith("Hall & Sons, Friday 8 January 2027, 20:00–23:00 (Vienna). Slow  songs")


async def test_sitemap_and_robots(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """What is public and coming is listed; what is somebody's is not for robots."""
    await add_events(sessions, clock)
    places = re.findall(r"<url><loc>(.*?)</loc></url>", await read(app, "/sitemap.xml"))
    assert places == [f"{URL}/", f"{URL}/p/hall", f"{URL}/p/hall/concert"]
    robots = await read(app, "/robots.txt")
    assert f"Sitemap: {URL}/sitemap.xml" in robots
    closed = re.findall(r"^Disallow: (\S+)$", robots, re.MULTILINE)
    for path in ("/cart", "/account", "/organizer", "/operator", "/tickets/", "/orders", "/checkout"):
        assert path in closed
    for path in ("/", "/p/hall", "/p/hall/concert", "/static/shop.css"):
        assert not any(path.startswith(one) for one in closed)
