"""Mails are rows that are owed: rendered and written in the transaction that causes them, sent later by the worker.

A mail that cannot be sent never breaks what caused it.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import new_row, write_at_commit
from shared.formats import install
from shared.jobs import nudge
from shared.models import OutgoingMail
from shared.settings import ROOT


@lru_cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    install(environment)
    return environment


async def owe_mail(
    session: AsyncSession,
    *,
    to: str,
    template: str,
    now: datetime,
    dedupe_key: str | None = None,
    expires_at: datetime | None = None,
    **context: Any,
) -> None:
    """Owe one mail from `templates/mail/<template>.txt` (first line: subject) and `.html`; once per `dedupe_key`.

    With `expires_at` it is a secret: not sent any more after that, and its text is wiped once it is out.
    """
    mail = OutgoingMail(
        to=to,
        **_rendered(template, context),
        dedupe_key=dedupe_key,
        next_try_at=now,
        created_at=now,
        expires_at=expires_at,
    )
    await write_at_commit(session, new_row(mail, once="dedupe_key"))
    await nudge(session, "mail")


async def owe_mails(
    session: AsyncSession, *, to: Sequence[str], template: str, now: datetime, dedupe_key: str, **context: Any
) -> None:
    """Owe the same mail to many, one each: rendered once, written together; `dedupe_key` is of them all."""
    if not to:
        return
    said = _rendered(template, context) | {"next_try_at": now, "created_at": now}
    rows = [said | {"to": address, "dedupe_key": f"{dedupe_key}:{address}"} for address in to]
    await session.execute(insert(OutgoingMail), rows)
    await nudge(session, "mail")


def _rendered(template: str, context: dict[str, Any]) -> dict[str, str]:
    lines = _templates().get_template(f"mail/{template}.txt").render(**context).strip().split("\n", 1)
    html = _templates().get_template(f"mail/{template}.html").render(subject=lines[0], **context)
    return {"subject": lines[0].strip(), "text": lines[-1].strip(), "html": html}
