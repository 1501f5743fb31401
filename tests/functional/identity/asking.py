"""How tests ask for a mail to sign in with, and what they read in it."""

import re

from sqlalchemy import func, select

from shared.models import OutgoingMail
from shared.web import Tillgate
from tests.support import Browser

EMAIL = "ada@example.org"


async def newest_mail(app: Tillgate) -> OutgoingMail:
    """The mail that was owed last."""
    async with app.database.sessions() as session:
        mail = await session.scalar(select(OutgoingMail).order_by(OutgoingMail.id.desc()).limit(1))
    assert mail is not None
    return mail


def link_in(mail: OutgoingMail) -> str:
    """Its link's path."""
    found = re.search(r"http://shop\.test(/sign-in/\S+)", mail.text)
    assert found is not None
    return found[1]


def code_in(mail: OutgoingMail) -> str:
    """Its code."""
    found = re.search(r"\b\d{6}\b", mail.text)
    assert found is not None
    return found[0]


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 1_000_000:06}"


async def ask(client: Browser, email: str = EMAIL, going_to: str = "/") -> OutgoingMail:
    """Ask for a mail to sign in with."""
    answer = await client.post("/sign-in", form={"email": email, "next": going_to})
    assert (answer.status_code, answer.location) == (303, "/sign-in/code")
    assert isinstance(client.app, Tillgate)
    return await newest_mail(client.app)


async def is_signed_in(client: Browser) -> bool:
    """Whether this browser's account opens."""
    return (await client.get("/account")).status_code == 200


async def count(app: Tillgate, model: type) -> int:
    """Rows of a table."""
    async with app.database.sessions() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0
