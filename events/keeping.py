"""A visitor's choice on its way through the sign-in: into a cookie before, into the cart after (spec: B1).

Part of the routes: the only other file of events that may use quart.
"""

from collections.abc import Mapping
from urllib.parse import urlencode
from uuid import UUID

from quart import Response, after_this_request, flash, request
from quart.typing import ResponseTypes
from sqlalchemy.ext.asyncio import AsyncSession

from events import pending
from events.choice import KEPT_FOR, Choice, keep_choice, kept_choice, short_message
from events.offers import read_offers
from events.views import EntryView
from shared.errors import AppError
from shared.web import now, see_other, shop, wants_fragment

COOKIE = "choice"


def to_sign_in(entry: EntryView, chosen: Choice) -> Response:
    """Keep the choice for an hour and go to the sign-in."""
    target = f"/sign-in?{urlencode({'next': entry.href})}"
    answer = see_other(target)
    if wants_fragment():
        # signed out in another tab: the whole page has to go on, not a piece of it
        answer = Response("", headers={"HX-Redirect": target})
    answer.set_cookie(
        COOKIE,
        keep_choice(shop().settings.secret_key, entry.id, chosen),
        max_age=int(KEPT_FOR.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=shop().settings.secure_cookies,
    )
    return answer


async def put_into_cart(session: AsyncSession, user_id: UUID) -> str | None:
    """At sign-in: the kept choice goes into the cart as far as it still fits; the rest is told. The way on."""
    text = request.cookies.get(COOKIE)
    if text is None:
        return None
    after_this_request(_drop_cookie)
    kept = kept_choice(shop().settings.secret_key, text)
    if kept is None:
        return None
    entry_id, numbers = kept
    refused = await pending.add(session, user_id=user_id, entry_id=entry_id, chosen=numbers, now=now())
    added = len(refused) < len(numbers)
    if added:
        await flash("Added to cart.", "ok")
    await _tell(session, refused)
    return "/cart" if added else None  # nothing added: the sign-in leads back to the event, to choose again


async def _tell(session: AsyncSession, refused: Mapping[UUID, AppError]) -> None:
    offers = await read_offers(session, set(refused)) if refused else {}
    for type_id, error in refused.items():
        offer = offers.get(type_id)
        name = f"{offer.entry_title}, {offer.name}: " if offer else ""
        await flash(f"{name}{short_message(error)}", "warn")


def _drop_cookie(answer: ResponseTypes) -> ResponseTypes:
    answer.delete_cookie(COOKIE)
    return answer
