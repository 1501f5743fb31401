"""A visitor's choice on its way through the sign-in (spec: B1): the events' side of contracts/errands.py.

It is in a cookie until the mail to sign in is asked for, then with the sign-in, and in the cart after it. Part of the
routes: the only other file of events that may use quart.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from itsdangerous import BadData, URLSafeTimedSerializer
from quart import Response, after_this_request, flash, request
from quart.typing import ResponseTypes
from sqlalchemy.ext.asyncio import AsyncSession

from events import kept, pending
from events.choice import PREFIX, Choice, short_message
from events.kept import Kept
from events.offers import read_offers
from events.queries import entry_href, pages_by_id
from events.views import EntryView
from shared.contracts.errands import Errand
from shared.errors import AppError
from shared.web import see_other, shop, wants_fragment

COOKIE = "choice"
IN_CART, TO_BUY = "In your cart once you have signed in", "Waiting for you once you have signed in"
MOST_TYPES_AT_ONCE = 10
"""Of one event, bought now: the numbers go into an address. More go into the cart."""
KEPT_FOR = timedelta(hours=1)
TOO_MANY = (
    f"We keep tickets of {kept.MOST_EVENTS} events until you sign in. "
    "Those that you chose first are not kept any more."
)


async def to_sign_in(entry: EntryView, chosen: Choice, *, pays: bool = False) -> Response:
    """Keep the choice for an hour, beside those of other events, and go to the sign-in. `pays`: it was "Buy now"."""
    before = _in_cookie()
    at_once = pays and len(chosen.numbers) <= MOST_TYPES_AT_ONCE
    both = before + Kept({entry.id: chosen.numbers}, entry.id if at_once else None)
    if set(before.chosen) - set(both.chosen):
        await flash(TOO_MANY, "warn")
    target = f"/sign-in?{urlencode({'next': entry.href})}"
    answer = see_other(target)
    if wants_fragment():
        # signed out in another tab: the whole page has to go on, not a piece of it
        answer = Response("", headers={"HX-Redirect": target})
    _keep(answer, _signer().dumps(both.dump()), seconds=int(KEPT_FOR.total_seconds()))
    return answer


def _keep(answer: ResponseTypes, value: str, *, seconds: int) -> None:
    """Put into this browser's cookie; 0 seconds take it out again."""
    answer.set_cookie(
        COOKIE,
        value,
        max_age=seconds,
        httponly=True,
        samesite="Lax",
        secure=shop().settings.secure_cookies,
    )


class ChosenTickets:
    """Implements `Errands`: tickets that were chosen before the sign-in go into the cart after it."""

    def in_browser(self, kept_already: str = "") -> str:
        """See Errands."""
        return (kept.read(kept_already) + _in_cookie()).dump()

    def take_from_browser(self) -> None:
        """See Errands."""
        if COOKIE in request.cookies:
            after_this_request(_drop_cookie)

    async def describe(self, session: AsyncSession, text: str) -> Errand | None:
        """See Errands."""
        waiting = kept.read(text)
        chosen = waiting.chosen
        offers = await read_offers(session, {kind for numbers in chosen.values() for kind in numbers})
        lines, page_id = [], None
        for entry_id, numbers in chosen.items():
            known = [offers[kind] for kind in numbers if kind in offers]
            if known:
                number = sum(numbers[offer.ticket_type_id] for offer in known)
                line = f"{number} {'ticket' if number == 1 else 'tickets'} for {known[0].entry_title}"
                lines.append(f"{line}, to buy now" if entry_id == waiting.pays else line)
                page_id = known[0].page_id
        if page_id is None:
            return None
        return Errand(
            TO_BUY if waiting.pays else IN_CART,
            tuple(lines),
            (await pages_by_id(session, [page_id]))[page_id].accent,
        )

    async def carry_out(
        self, session: AsyncSession, *, user_id: UUID, text: str, now: datetime
    ) -> str | None:
        """Into the cart as far as it still fits; the rest is told. Where nothing does, there is no cart to go to.

        What was to be bought at once leads to its event instead, with the numbers filled in: an order is made, and
        stock held, by a button and not by a sign-in.
        """
        waiting = kept.read(self.in_browser(text))
        self.take_from_browser()
        added, refused = False, dict[UUID, AppError]()
        for entry_id, numbers in waiting.chosen.items():
            if entry_id == waiting.pays:
                continue
            short = await pending.add(session, user_id=user_id, entry_id=entry_id, chosen=numbers, now=now)
            added |= len(short) < len(numbers)
            refused |= short
        if added:
            await flash("Added to cart.", "ok")
        await _tell(session, refused)
        if waiting.pays and (href := await entry_href(session, waiting.pays)):
            await flash("You are signed in. Press Buy now to go on to the payment.", "info")
            filled_in = {f"{PREFIX}{kind}": number for kind, number in waiting.chosen[waiting.pays].items()}
            return f"{href}?{urlencode(filled_in)}"
        return "/cart" if added else None


async def _tell(session: AsyncSession, refused: Mapping[UUID, AppError]) -> None:
    offers = await read_offers(session, set(refused)) if refused else {}
    for type_id, error in refused.items():
        offer = offers.get(type_id)
        name = f"{offer.entry_title}, {offer.name}: " if offer else ""
        await flash(f"{name}{short_message(error)}", "warn")


def _in_cookie() -> Kept:
    """What this browser keeps; nothing where it is older than an hour or not ours."""
    try:
        text: str = _signer().loads(request.cookies.get(COOKIE, ""), max_age=int(KEPT_FOR.total_seconds()))
    except BadData:
        return Kept()
    return kept.read(text)


def _drop_cookie(answer: ResponseTypes) -> ResponseTypes:
    _keep(answer, "", seconds=0)
    return answer


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(shop().settings.secret_key, salt="tillgate choices")
