"""The demo's people and shops; used by `demo` and `seed`. Domains are loaded by name."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

from shared.contracts.states import PageRole
from shared.database import Database
from shared.identity.challenge import fresh_link
from shared.identity.users import find_or_create_user
from shared.settings import Settings

BUYER = "buyer@tillgate.example"
ORGANIZER = "organizer@tillgate.example"
STAFF = "staff@tillgate.example"
DOOR = "door@tillgate.example"
TEAM = {ORGANIZER: PageRole.OWNER, STAFF: PageRole.STAFF, DOOR: PageRole.DOOR}
SECOND_ACCOUNT = "acct_1DemoDhowYard"
"""Of the page that is paid by itself; only where the stand-in is Stripe: real keys reach no such account."""
LINK_LIFE = timedelta(days=1)
"""The links on the demo's screen are used when somebody gets round to it, not within minutes of a mail."""


async def fill(settings: Settings, *, second_account: str = "") -> None:
    """Three organizers' pages with events around today; nothing where there are pages already."""
    database = Database(settings.database_url or "")
    async with database.sessions.begin() as session:
        team = {(await find_or_create_user(session, email=email)).id: role for email, role in TEAM.items()}
        now = datetime.now(UTC)
        await import_module("events.seed").seed(session, now=now, team=team, second_account=second_account)
        calendar = import_module("events.service").SqlCalendarService()
        await import_module("cart.seed").seed(session, calendar, now=now)
    await database.close()


PEOPLE = {
    "buyer": (BUYER, None),
    "organizer": (ORGANIZER, "/organizer"),
    "staff": (STAFF, "/organizer"),
    "door": (DOOR, "/organizer"),
    "operator": (ORGANIZER, "/operator"),  # who sells in the demo runs it too
}
"""Whom the demo lets in, and where they begin."""


async def sign_in_links(settings: Settings) -> dict[str, str]:
    """Fresh links for each of PEOPLE, by what they are."""
    database = Database(settings.database_url or "")
    now = datetime.now(UTC)
    async with database.sessions.begin() as session:
        links = {
            who: await fresh_link(session, settings, email=email, now=now, life=LINK_LIFE, next_path=path)
            for who, (email, path) in PEOPLE.items()
        }
    await database.close()
    return links
