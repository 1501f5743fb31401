"""How the public pages are found and passed on: for search engines, messengers and calendars that read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from events.models import Entry, Page
from events.views import EntryView, Stand, TypeView, stand_of_type
from shared.contracts.states import EntryState
from shared.money import to_major
from shared.static_files import asset

SCHEMA = "https://schema.org/"
MOST_LISTED = 10_000
CLOSED_TO_ROBOTS = (
    "/account",
    "/api/",
    "/cart",
    "/checkout",
    "/operator",
    "/orders",
    "/organizer",
    "/sign-in",
    "/tickets/",
)
AVAILABILITY = {
    "on_sale": "InStock",
    "few_left": "LimitedAvailability",
    "may_come_free": "SoldOut",
    "sold_out": "SoldOut",
    "not_yet": "PreOrder",
    "over": "OutOfStock",
}


def event_data(entry: EntryView, *, public_url: str, now: datetime) -> dict[str, Any]:
    """A schema.org Event, to be put into its page as JSON-LD."""
    zone, address = ZoneInfo(entry.page.time_zone), f"{public_url}{entry.href}"
    cancelled = entry.state == EntryState.CANCELLED
    data = {
        "@context": SCHEMA.rstrip("/"),
        "@type": "Event",
        "name": entry.title,
        "description": entry.text,
        "url": address,
        "startDate": entry.starts_at.astimezone(zone).isoformat(),
        "endDate": entry.ends_at.astimezone(zone).isoformat(),
        "eventStatus": SCHEMA + ("EventCancelled" if cancelled else "EventScheduled"),
        "eventAttendanceMode": SCHEMA + "OfflineEventAttendanceMode",
        "location": {"@type": "Place", "name": entry.place, "address": entry.place},
        "organizer": {
            "@type": "Organization",
            "name": entry.page.name,
            "url": f"{public_url}/p/{entry.page.slug}",
        },
        "offers": [
            _offer(entry, kind, stand_of_type(entry, kind, now), address)
            for kind in entry.types
            if kind.offer.price is not None
        ],
    }
    if entry.picture:
        data["image"] = [public_url + asset(f"pictures/{entry.picture}")]
    return data


def _offer(entry: EntryView, kind: TypeView, stand: Stand, address: str) -> dict[str, Any]:
    offer = kind.offer
    data = {
        "@type": "Offer",
        "name": offer.name,
        "price": str(to_major(offer.price or 0, entry.page.currency)),
        "priceCurrency": entry.page.currency,
        "availability": SCHEMA + AVAILABILITY.get(stand.kind, "OutOfStock"),
        "url": address,
    }
    if offer.sale_starts_at is not None:
        data["validFrom"] = offer.sale_starts_at.astimezone(ZoneInfo(entry.page.time_zone)).isoformat()
    return data


def robots(public_url: str) -> str:
    """robots.txt: what belongs to one person or to the office is not for search engines."""
    closed = "".join(f"Disallow: {path}\n" for path in CLOSED_TO_ROBOTS)
    return f"User-agent: *\n{closed}\nSitemap: {public_url}/sitemap.xml\n"


async def public_paths(session: AsyncSession, *, now: datetime) -> list[str]:
    """The home page, the coming events, and the pages that have some."""
    rows = await session.execute(
        select(Page.slug, Entry.slug)
        .join(Entry, Entry.page_id == Page.id)
        .where(Entry.state == EntryState.CONFIRMED, Entry.ends_at > now)
        .order_by(Entry.starts_at, Entry.id)
        .limit(MOST_LISTED)
    )
    events = [(page, entry) for page, entry in rows]
    pages = dict.fromkeys(page for page, _ in events)
    return ["/", *(f"/p/{page}" for page in pages), *(f"/p/{page}/{entry}" for page, entry in events)]


def sitemap(paths: Sequence[str], public_url: str) -> str:
    """sitemap.xml of these paths."""
    places = "".join(f"<url><loc>{escape(public_url + path)}</loc></url>\n" for path in paths)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n'
    )
