"""The ground stands: tables can be made."""

from sqlalchemy import text

from shared.database import Sessions


async def test_installation_is_one_row(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM installation")) == 1
