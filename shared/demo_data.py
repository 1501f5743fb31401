"""The demo's people and shops; used by `demo` and `seed`. Domains are loaded by name."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

from shared.database import Database
from shared.identity.challenge import fresh_link
from shared.identity.users import find_or_create_user
from shared.settings import Settings

BUYER = "buyer@tillgate.example"
ORGANIZER = "organizer@tillgate.example"
LINK_LIFE = timedelta(days=1)
"""The links on the demo's screen are used when somebody gets round to it, not within minutes of a mail."""


async def fill(settings: Settings) -> None:
    """Three organizers' pages with events around today; nothing where there are pages already."""
    database = Database(settings.database_url or "")
    async with database.sessions.begin() as session:
        organizer = await find_or_create_user(session, email=ORGANIZER)
        now = datetime.now(UTC)
        await import_module("events.seed").seed(session, now=now, owner_id=organizer.id)
        calendar = import_module("events.service").SqlCalendarService()
        await import_module("cart.seed").seed(session, calendar, now=now)
    await database.close()


async def sign_in_links(settings: Settings) -> dict[str, str]:
    """Fresh links for a buyer, an organizer and an operator, by what they are; the organizer runs the demo too."""
    database = Database(settings.database_url or "")
    now = datetime.now(UTC)
    async with database.sessions.begin() as session:
        buyer = await fresh_link(session, settings, email=BUYER, now=now, life=LINK_LIFE)
        organizer = await fresh_link(
            session, settings, email=ORGANIZER, now=now, life=LINK_LIFE, next_path="/organizer"
        )
        operator = await fresh_link(
            session, settings, email=ORGANIZER, now=now, life=LINK_LIFE, next_path="/operator"
        )
    await database.close()
    return {"buyer": buyer, "organizer": organizer, "operator": operator}
