"""Sessions that only read, that write one statement, and rows that are written together at commit."""

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import audit, database
from shared.app import create_app
from shared.database import OVERFLOW, Database, Sessions, WriteWhileReading, write_now
from shared.health_facts import shared_facts
from shared.identity.models import User
from shared.ids import new_id
from shared.models import AuditEntry
from shared.settings import Settings

NAMED = update(User).values(name="Ada")


async def add_user(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        session.add(User(id=new_id(), email="ada@example.org"))


async def name_of(sessions: Sessions) -> str:
    async with sessions.reading() as session:
        return (await session.scalars(select(User.name))).one()


async def test_reading_has_no_transaction(sessions: Sessions) -> None:
    """Each SELECT is a transaction of its own: PostgreSQL's clock of the transaction moves on between two."""
    moment = select(text("now()"))
    async with sessions.reading() as session:
        assert await session.scalar(moment) != await session.scalar(moment)
    async with sessions.begin() as session:
        assert await session.scalar(moment) == await session.scalar(moment)


async def test_reading_refuses_to_write(sessions: Sessions) -> None:
    """By a statement, by plain SQL and by a changed object."""
    await add_user(sessions)
    async with sessions.reading() as session:
        with pytest.raises(WriteWhileReading):
            await session.execute(NAMED)
        with pytest.raises(WriteWhileReading):
            await session.execute(text("UPDATE users SET name = 'Ada'"))
        user = (await session.scalars(select(User))).one()
        user.name = "Ada"
        with pytest.raises(WriteWhileReading):
            await session.flush()
    assert await name_of(sessions) == ""


async def test_single_statement_stands(sessions: Sessions) -> None:
    """Without a commit; what begins a transaction and does not commit leaves nothing."""
    await add_user(sessions)
    async with sessions() as session:
        await session.execute(NAMED)
    assert await name_of(sessions) == ""
    async with sessions.single() as session:
        await session.execute(NAMED)
    assert await name_of(sessions) == "Ada"


async def test_what_waits_for_the_commit_goes_with_a_rollback(sessions: Sessions) -> None:
    """Rows written at commit are there after it, in one statement, and nowhere after a rollback."""
    async with sessions() as session:
        await note(session, "rolled back")
        await session.rollback()
    async with sessions.begin() as session:
        await note(session, "first")
        await note(session, "second")
        assert await noted(sessions) == []
    assert await noted(sessions) == ["first", "second"]


async def test_in_a_savepoint_nothing_waits(sessions: Sessions) -> None:
    """It is written at once there, and goes when the savepoint goes."""
    async with sessions.begin() as session:
        await note(session, "outside")
        savepoint = await session.begin_nested()
        await note(session, "inside")
        await savepoint.rollback()
    assert await noted(sessions) == ["outside"]


async def test_write_now_is_seen_by_the_next_statement(sessions: Sessions) -> None:
    """For the one place that reads what it has just written."""
    async with sessions.begin() as session:
        await note(session, "now")
        assert await session.scalar(select(func.count()).select_from(AuditEntry)) == 0
        await write_now(session)
        assert await session.scalar(select(func.count()).select_from(AuditEntry)) == 1
    assert await noted(sessions) == ["now"]


async def note(session: AsyncSession, what: str) -> None:
    await audit.record(
        session, at=datetime.now(UTC), actor="operator", subject="order", subject_id=new_id(), what=what
    )


async def noted(sessions: Sessions) -> list[str]:
    async with sessions.reading() as session:
        return list(await session.scalars(select(AuditEntry.what).order_by(AuditEntry.what)))


async def test_error_does_not_tell_what_the_statement_carried(sessions: Sessions) -> None:
    """Errors reach the log and the rows of failed events; sign-in links and door codes must not."""
    await add_user(sessions)
    with pytest.raises(IntegrityError) as caught:
        async with sessions.begin() as session:
            session.add(User(id=new_id(), email="ada@example.org", name="the secret"))
    assert "the secret" not in str(caught.value)


async def test_nothing_waits_for_a_commit_that_never_comes(sessions: Sessions) -> None:
    """Sessions without a transaction refuse rows for the commit: they would be lost without a word."""
    for made in (sessions.reading, sessions.single):
        async with made() as session:
            with pytest.raises(WriteWhileReading):
                await note(session, "lost")


async def test_a_request_waits_for_a_connection_and_is_then_told(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are taken: one that comes free in time serves the page, none says 503 in words after the wait (spec: L1)."""
    monkeypatch.setattr(database, "WAIT_FOR_CONNECTION", 0.3)
    small = Database(database_url, pool_size=1)
    app = create_app(settings, database=small)
    async with app.test_app(), AsyncExitStack() as taken:
        client = app.test_client()
        for _ in range(1 + OVERFLOW):
            held = await taken.enter_async_context(small.read())
        answer = await client.get("/")
        assert answer.status_code == 503
        assert "What you have paid and what you hold is safe" in await answer.get_data(as_text=True)
        monkeypatch.setattr(small.engine.pool, "_timeout", 30)
        waiting = asyncio.create_task(client.get("/"))
        await asyncio.wait({waiting}, timeout=0.1)
        assert not waiting.done()
        await held.close()
        assert (await waiting).status_code == 200
    await small.close()


async def test_our_processes_are_counted(sessions: Sessions) -> None:
    """Together, not each by itself: what they may take is said of them all (spec: L1)."""
    async with sessions.reading() as session:
        fact = next(
            one
            for one in await shared_facts(session, datetime.now(UTC))
            if one.name == "database_connections"
        )
    assert re.match(r"\d+ process(es)? of ours may take \d+ of \d+; \d+ are in use\.", fact.words), fact.words
