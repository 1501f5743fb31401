"""Sessions without a transaction: what reads cannot write, and one statement stands as soon as it is done."""

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from shared.database import Sessions, WriteWhileReading
from shared.identity.models import User
from shared.ids import new_id

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


async def test_error_does_not_tell_what_the_statement_carried(sessions: Sessions) -> None:
    """Errors reach the log and the rows of failed events; sign-in links and door codes must not."""
    await add_user(sessions)
    with pytest.raises(IntegrityError) as caught:
        async with sessions.begin() as session:
            session.add(User(id=new_id(), email="ada@example.org", name="the secret"))
    assert "the secret" not in str(caught.value)
