"""The pages of StubCalendarService, and who works there."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.dtos import PageDTO
from shared.contracts.states import PageRole
from shared.ids import new_id


@dataclass
class StubPages:
    """Pages in memory; StubCalendarService is one."""

    pages: dict[UUID, PageDTO] = field(default_factory=dict)
    members: list[tuple[UUID, UUID, PageRole]] = field(default_factory=list)
    """User, page, role."""

    def add_page(
        self,
        slug: str = "stub-page",
        *,
        name: str = "Stub Page",
        currency: str = "EUR",
        time_zone: str = "Europe/Vienna",
        hold_minutes: int = 30,
        stripe_account: str = "",
        delayed_methods: bool = False,
    ) -> PageDTO:
        """A page to sell on."""
        page = PageDTO(
            new_id(),
            slug,
            name,
            currency,
            time_zone,
            hold_minutes,
            stripe_account,
            delayed_methods,
            "#8a3b12",
        )
        self.pages[page.id] = page
        return page

    async def get_pages(self, _session: AsyncSession, page_ids: Sequence[UUID]) -> dict[UUID, PageDTO]:
        """See CalendarService."""
        return {page_id: self.pages[page_id] for page_id in page_ids if page_id in self.pages}

    async def get_page_by_slug(self, _session: AsyncSession, slug: str) -> PageDTO | None:
        """See CalendarService."""
        return next((page for page in self.pages.values() if page.slug == slug), None)

    async def pages_of_member(
        self, _session: AsyncSession, *, user_id: UUID
    ) -> list[tuple[PageDTO, PageRole]]:
        """See CalendarService."""
        mine = [(self.pages[page], role) for user, page, role in self.members if user == user_id]
        return sorted(mine, key=lambda pair: (pair[0].name, pair[0].id))

    async def stripe_accounts(self, _session: AsyncSession) -> list[str]:
        """See CalendarService."""
        return sorted({page.stripe_account for page in self.pages.values()})

    async def set_payments_stopped(
        self, _session: AsyncSession, *, stripe_account: str, stopped: bool
    ) -> list[str]:
        """See CalendarService."""
        of_account = [page for page in self.pages.values() if page.stripe_account == stripe_account]
        changed = [page for page in of_account if page.payments_stopped != stopped]
        self.pages |= {page.id: replace(page, payments_stopped=stopped) for page in changed}
        return sorted(page.name for page in changed)

    async def members_of_pages(
        self, _session: AsyncSession, page_ids: Sequence[UUID]
    ) -> list[tuple[UUID, UUID, PageRole]]:
        """See CalendarService."""
        return sorted((page, user, role) for user, page, role in self.members if page in page_ids)
