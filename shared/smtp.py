"""The sending half of mail: hands owed rows to the SMTP server, one by one. Run by the worker as the sweep "mail"."""

import time
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from shared.database import Sessions, refuse_open_transaction
from shared.models import OutgoingMail
from shared.setting_types import is_loopback
from shared.settings import Settings

log = structlog.get_logger()

TIMEOUT_SECONDS = 20
LEASE = timedelta(
    minutes=5
)  # far longer than one mail takes: who finds it over may take the mail of a dead worker
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)
GIVE_UP_AFTER = timedelta(days=3)
WIPED = {"subject": "(secret, wiped)", "text": "", "html": ""}


class Smtp:
    """The mail server of SMTP_URL, and how our mails are written."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.smtp_url)
        host = parts.hostname or ""
        self._sender = settings.mail_from
        self._address = settings.mail_address
        self._domain = self._address.rpartition("@")[2]
        self._options: dict[str, Any] = {
            "hostname": host,
            "port": parts.port or (465 if parts.scheme == "smtps" else 25),
            "use_tls": parts.scheme == "smtps",
            # STARTTLS wherever the server offers it; with a password never without, but on this very machine
            "start_tls": True
            if parts.username and parts.scheme == "smtp" and not is_loopback(host)
            else None,
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "local_hostname": self._domain,  # the default asks the resolver, and blocks while it does
            "timeout": TIMEOUT_SECONDS,
        }

    def client(self) -> aiosmtplib.SMTP:
        """A connection to be opened with `async with`."""
        return aiosmtplib.SMTP(**self._options)

    async def send(self, client: aiosmtplib.SMTP, mail: OutgoingMail) -> None:
        """Hand one mail over. Raises aiosmtplib.SMTPException, OSError, ValueError."""
        refuse_open_transaction()
        await client.send_message(self.message(mail), sender=self._address, recipients=[mail.to])

    def message(self, mail: OutgoingMail) -> EmailMessage:
        """Text and HTML. The Message-ID is the row's, so that a mail sent twice can be recognised."""
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = self._sender
        message["To"] = mail.to
        message["Subject"] = mail.subject
        message["Date"] = format_datetime(mail.created_at)
        message["Message-ID"] = f"<{mail.id}@{self._domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
        return message


async def send_due(sessions: Sessions, smtp: Smtp, now: datetime) -> int:
    """Send what is due, or falls due meanwhile; returns how many. A mail that fails is put off, never raised."""
    sent, began, started_at = 0, time.monotonic(), now
    async with AsyncExitStack() as stack:
        client: aiosmtplib.SMTP | None = None
        while (mail := await _claim(sessions, now)) is not None:
            now = started_at + timedelta(seconds=int(time.monotonic() - began))  # a backlog takes hours
            if mail.expires_at is not None and mail.expires_at <= now:
                await _close(sessions, mail, state="failed", last_error="expired before it could be sent")
                continue
            try:
                if client is None:
                    client = await stack.enter_async_context(smtp.client())
                await smtp.send(client, mail)
            except (aiosmtplib.SMTPException, OSError, ValueError) as error:
                await _put_off(sessions, mail, error, now)
                if client is None or not client.is_connected:
                    break  # the server is away; the other mails need not find that out one by one
            else:
                await _close(sessions, mail, state="sent", sent_at=now, last_error=None)
                sent += 1
    return sent


async def _claim(sessions: Sessions, now: datetime) -> OutgoingMail | None:
    """Take the mail that waits longest, and keep others off it for the time of the lease.

    Those that somebody waits for with a page open, to sign in, go before all others, however many there are.
    """
    oldest = (
        select(OutgoingMail.id)
        .where(OutgoingMail.state == "due", OutgoingMail.next_try_at <= now)
        .order_by(OutgoingMail.expires_at.is_(None), OutgoingMail.next_try_at, OutgoingMail.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    async with sessions.begin() as session:
        claimed: OutgoingMail | None = await session.scalar(
            update(OutgoingMail)
            .where(OutgoingMail.id == oldest.scalar_subquery())
            .values(tries=OutgoingMail.tries + 1, next_try_at=now + LEASE)
            .returning(OutgoingMail)
        )
    return claimed


async def _put_off(sessions: Sessions, mail: OutgoingMail, error: Exception, now: datetime) -> None:
    reason = f"{type(error).__name__}: {error}"[:500]
    log.warning("mail not sent", mail_id=str(mail.id), tries=mail.tries, error=reason)
    if now - mail.created_at >= GIVE_UP_AFTER:
        await _close(sessions, mail, state="failed", last_error=reason)
        return
    wait = min(FIRST_WAIT * 2 ** min(mail.tries - 1, 10), LONGEST_WAIT)
    async with sessions.begin() as session:
        await _write(session, mail, {"next_try_at": now + wait, "last_error": reason})


async def _close(sessions: Sessions, mail: OutgoingMail, **values: Any) -> None:
    """The last word on a mail. What opens something (it has an end) is not kept."""
    async with sessions.begin() as session:
        await _write(session, mail, values if mail.expires_at is None else {**values, **WIPED})


async def _write(session: AsyncSession, mail: OutgoingMail, values: dict[str, Any]) -> None:
    await session.execute(update(OutgoingMail).where(OutgoingMail.id == mail.id).values(**values))
