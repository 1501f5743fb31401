"""Owed mails are sent once the server takes them, and never break anything else."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from functools import partial

import aiosmtplib
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from sqlalchemy import select, text, update

from shared.clock import ManualClock
from shared.database import Sessions
from shared.models import OutgoingMail
from shared.settings import Settings
from shared.smtp import Smtp, send_due


@dataclass
class Mailbox:
    """A mail server's inside: keeps what it takes, refuses whom it is told to."""

    taken: list[Envelope] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    logins: list[bytes] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, to: str, _options: list[str]
    ) -> str:
        if to in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        self.taken.append(envelope)
        return "250 OK"

    def login(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: LoginPassword
    ) -> AuthResult:
        self.logins += [given.login, given.password]
        return AuthResult(success=True)

    def message(self) -> EmailMessage:
        (envelope,) = self.taken
        assert isinstance(envelope.content, bytes)
        return email.message_from_bytes(envelope.content, policy=email.policy.default)


@asynccontextmanager
async def served(mailbox: Mailbox) -> AsyncIterator[int]:
    """The mailbox on a free port."""
    loop = asyncio.get_running_loop()
    protocol = partial(
        SMTP, mailbox, authenticator=mailbox.login, auth_require_tls=False, hostname="mail.test", loop=loop
    )
    server = await loop.create_server(protocol, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def smtp(mailbox: Mailbox, settings: Settings) -> AsyncIterator[Smtp]:
    async with served(mailbox) as port:
        yield Smtp(replace(settings, smtp_url=f"smtp://127.0.0.1:{port}"))


async def owe(
    sessions: Sessions, now: datetime, to: str = "ada@example.org", expires_at: datetime | None = None
) -> None:
    async with sessions.begin() as session:
        session.add(
            OutgoingMail(
                to=to,
                subject="Your tickets – bis später",
                text="In plain words: größer",
                html="<p>In colour</p>",
                next_try_at=now,
                created_at=now,
                expires_at=expires_at,
            )
        )


async def only_mail(sessions: Sessions) -> OutgoingMail:
    async with sessions() as session:
        return (await session.scalars(select(OutgoingMail))).one()


async def test_mail_is_sent_once(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox
) -> None:
    """Text and HTML, to the right mailbox, with the row's id; a second sweep sends nothing."""
    await owe(sessions, clock.now())
    assert await send_due(sessions, smtp, clock.now()) == 1
    assert await send_due(sessions, smtp, clock.advance(days=1)) == 0
    row, message = await only_mail(sessions), mailbox.message()
    assert row.state == "sent"
    assert row.text == "In plain words: größer"
    assert mailbox.taken[0].rcpt_tos == ["ada@example.org"]
    assert mailbox.taken[0].mail_from == "tickets@tillgate.example"
    assert message["Subject"] == "Your tickets – bis später"
    assert message["Message-ID"] == f"<{row.id}@tillgate.example>"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().strip() == "In plain words: größer"
    assert html.get_content().strip() == "<p>In colour</p>"


async def test_parallel_workers_send_each_mail_once(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox
) -> None:
    """Rows are taken with SKIP LOCKED: four workers, twenty mails, twenty sent."""
    for number in range(20):
        await owe(sessions, clock.now(), f"guest{number}@example.org")
    sent = await asyncio.gather(*(send_due(sessions, smtp, clock.now()) for _ in range(4)))
    assert sum(sent) == 20
    assert len({envelope.rcpt_tos[0] for envelope in mailbox.taken}) == len(mailbox.taken) == 20


async def test_refused_mail_is_put_off_and_holds_up_no_other(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox
) -> None:
    """It waits longer each time, says why, and is given up after three days."""
    mailbox.refused.add("ada@example.org")
    await owe(sessions, clock.now())
    await owe(sessions, clock.now(), "grace@example.org")
    assert await send_due(sessions, smtp, clock.now()) == 1
    assert [envelope.rcpt_tos for envelope in mailbox.taken] == [["grace@example.org"]]
    async with sessions.begin() as session:
        await session.execute(
            update(OutgoingMail).where(OutgoingMail.state == "sent").values(to="x@example.org")
        )
    waits = []
    for _ in range(3):
        row = await _refused_row(sessions)
        waits.append(row.next_try_at - clock.now())
        assert "550" in (row.last_error or "")
        clock.advance(seconds=waits[-1].total_seconds())
        await send_due(sessions, smtp, clock.now())
    assert waits == [timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    await send_due(sessions, smtp, clock.advance(days=3))
    assert (await _refused_row(sessions)).state == "failed"


async def _refused_row(sessions: Sessions) -> OutgoingMail:
    async with sessions() as session:
        return (await session.scalars(select(OutgoingMail).where(OutgoingMail.to == "ada@example.org"))).one()


async def test_server_away(
    sessions: Sessions, clock: ManualClock, settings: Settings, mailbox: Mailbox
) -> None:
    """One mail finds out, the others stay due; all go when the server is back. Nothing is raised."""
    async with served(mailbox) as port:
        smtp = Smtp(replace(settings, smtp_url=f"smtp://127.0.0.1:{port}"))
    for number in range(3):
        await owe(sessions, clock.now(), f"guest{number}@example.org")
    assert await send_due(sessions, smtp, clock.now()) == 0
    async with sessions() as session:
        tries = sorted((await session.scalars(select(OutgoingMail.tries))).all())
    assert tries == [0, 0, 1]
    async with served(mailbox) as port:
        back = Smtp(replace(settings, smtp_url=f"smtp://127.0.0.1:{port}"))
        assert await send_due(sessions, back, clock.advance(minutes=1)) == 3


async def test_mail_of_a_dead_worker(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox
) -> None:
    """Taken but never finished: after the lease another worker sends it, under the same Message-ID."""
    await owe(sessions, clock.now())

    class DiedError(BaseException):
        pass

    class Dying(Smtp):
        def client(self) -> object:  # type: ignore[override]
            raise DiedError

    dying = Dying.__new__(Dying)
    with pytest.raises(DiedError):
        await send_due(sessions, dying, clock.now())
    assert await send_due(sessions, smtp, clock.now()) == 0
    assert await send_due(sessions, smtp, clock.advance(minutes=5)) == 1
    assert mailbox.message()["Message-ID"].startswith(f"<{(await only_mail(sessions)).id}@")


async def test_secret_mail_leaves_no_trace(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox
) -> None:
    """What opens an account is wiped once it is sent."""
    await owe(sessions, clock.now(), expires_at=clock.now() + timedelta(minutes=15))
    await send_due(sessions, smtp, clock.now())
    assert len(mailbox.taken) == 1
    row = await only_mail(sessions)
    assert (row.state, row.text, row.html) == ("sent", "", "")
    assert "tickets" not in row.subject


async def test_secret_mail_is_not_sent_too_late(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox
) -> None:
    """A link that no longer works would only puzzle people."""
    await owe(sessions, clock.now(), expires_at=clock.now() + timedelta(minutes=15))
    assert await send_due(sessions, smtp, clock.advance(minutes=15)) == 0
    assert mailbox.taken == []
    row = await only_mail(sessions)
    assert (row.state, row.text) == ("failed", "")


async def test_login(sessions: Sessions, clock: ManualClock, settings: Settings, mailbox: Mailbox) -> None:
    """User and password of SMTP_URL, percent-decoded."""
    await owe(sessions, clock.now())
    async with served(mailbox) as port:
        smtp = Smtp(replace(settings, smtp_url=f"smtp://shop%40example.org:p%3Ass@127.0.0.1:{port}"))
        assert await send_due(sessions, smtp, clock.now()) == 1
    assert mailbox.logins == [b"shop@example.org", b"p:ss"]


@pytest.mark.parametrize(
    ("url", "encrypted"),
    [
        ("smtp://shop:secret@mail.example.org", True),
        ("smtp://mail.example.org", None),
        ("smtp://shop:secret@127.0.0.1:8025", None),
        ("smtps://shop:secret@mail.example.org", None),
    ],
)
def test_a_password_never_goes_out_in_clear(settings: Settings, url: str, encrypted: bool | None) -> None:
    """STARTTLS is demanded wherever there is a password; None means: taken where it is offered (spec: L4)."""
    client = Smtp(replace(settings, smtp_url=url)).client()
    assert client._start_tls_on_connect is encrypted


async def test_no_login_where_no_starttls_is_offered(
    sessions: Sessions,
    clock: ManualClock,
    settings: Settings,
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that offers none gets neither the password nor the mail, which is tried again later (spec: L4)."""
    monkeypatch.setattr("shared.smtp.is_loopback", lambda _host: False)
    await owe(sessions, clock.now())
    async with served(mailbox) as port:
        smtp = Smtp(replace(settings, smtp_url=f"smtp://shop:secret@127.0.0.1:{port}"))
        assert await send_due(sessions, smtp, clock.now()) == 0
    assert mailbox.logins == []
    row = await only_mail(sessions)
    assert row.state == "due"


async def test_who_signs_in_does_not_wait_behind_a_backlog(
    sessions: Sessions, clock: ManualClock, smtp: Smtp, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand mails kept one to sign in unsent past its life; it goes first now, even one written meanwhile."""
    async with sessions.begin() as session:
        await session.execute(
            text(
                'INSERT INTO outgoing_mail (id, "to", subject, text, html, next_try_at)'
                " SELECT gen_random_uuid(), 'all@example.org', 's', 't', 'h', :at FROM generate_series(1, 10000)"
            ),
            {"at": clock.now() - timedelta(hours=1)},
        )
    await owe(sessions, clock.now(), "first@example.org", expires_at=clock.now() + timedelta(minutes=15))
    sent, send = [], smtp.send

    async def send_some(client: aiosmtplib.SMTP, mail: OutgoingMail) -> None:
        if len(sent) == 3:  # somebody signs in while the backlog is sent
            await owe(
                sessions, clock.now(), "second@example.org", expires_at=clock.now() + timedelta(minutes=15)
            )
        if len(sent) == 6:
            raise asyncio.CancelledError
        sent.append(mail.to)
        await send(client, mail)

    monkeypatch.setattr(smtp, "send", send_some)
    with pytest.raises(asyncio.CancelledError):
        await send_due(sessions, smtp, clock.now())
    others = ["all@example.org"] * 2
    assert sent == ["first@example.org", *others, "all@example.org", "second@example.org", "all@example.org"]
