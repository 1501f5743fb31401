"""The shop's public pages, the buy form, the ticket's page. A route parses, calls one function, renders."""

import re
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from quart import Blueprint, Response, flash, g, render_template, request, session
from quart.typing import ResponseReturnValue

from events import choice as choices
from events import findable, keeping, own_holds, pending
from events.allowance import read_allowance
from events.calendar_file import calendar_file, method
from events.catalogue import Catalogue, Snapshot
from events.choice import Choice
from events.queries import ticket_by_id
from events.ticket_code import qr_image
from events.views import EntryView, Stand, stand_of_entry, stand_of_type
from shared import metrics
from shared.contracts.dtos import CartSummaryDTO, TicketDTO
from shared.contracts.payment_errors import PaymentsRefused
from shared.contracts.protocols import SoldOut
from shared.contracts.states import OPENING_STATES, TicketState
from shared.errors import Conflict, Invalid, NotFound
from shared.identity.guard import CurrentUser, current_user
from shared.ids import new_id, parse_id
from shared.web import count_cart_change, db_session, now, see_other, shop, wants_fragment

blueprint = Blueprint("events", __name__)

MOST_OTHERS = 6  # events listed below one that can't be bought
PUBLIC_STATES = (*OPENING_STATES, TicketState.CANCELLED)
OWN_STATES = (TicketState.PENDING, TicketState.RESERVED)


def catalogue() -> Catalogue:
    """What this process keeps of the public pages."""
    kept: Catalogue = shop().extensions["catalogue"]
    return kept


async def _kept_for_visitors(snapshot: Snapshot, render: Callable[[], Awaitable[str]]) -> str:
    """A page that is the same for every visitor who asks nothing more: rendered once while its snapshot is kept."""
    if await current_user() is not None or session.get("_flashes") or request.query_string:
        return await render()
    if snapshot.html is None:
        snapshot.html = await render()
    return snapshot.html


def _rows(entries: Iterable[EntryView]) -> list[tuple[EntryView, Stand]]:
    """Events as a list shows them: each with how its sale stands."""
    moment = now()
    return [(entry, stand_of_entry(entry, moment)) for entry in entries]


@blueprint.get("/")
async def home() -> ResponseReturnValue:
    """The coming events of all pages."""
    snapshot = await catalogue().coming(now())

    async def render() -> str:
        return await render_template("events/home.html", rows=_rows(snapshot.entries))

    return await _kept_for_visitors(snapshot, render)


@blueprint.get("/p/<page>")
async def page(page: str) -> ResponseReturnValue:
    """An organizer's shop."""
    snapshot = await catalogue().page(page, now())
    if snapshot.page is None:
        raise NotFound

    async def render() -> str:
        return await render_template("events/page.html", page=snapshot.page, rows=_rows(snapshot.entries))

    return await _kept_for_visitors(snapshot, render)


@blueprint.get("/p/<page>/<entry>")
async def entry(page: str, entry: str) -> ResponseReturnValue:
    """An event with its buy form; after buying, with "Added to cart" (spec: B13)."""
    shown, snapshot = await _entry(page, entry)

    async def render() -> str:
        context = await _entry_context(shown, await _brought(shown), added=await _just_added())
        if not context["can_buy"]:
            of_page = await catalogue().page(page, now())
            context["others"] = _rows([one for one in of_page.entries if one.id != shown.id][:MOST_OTHERS])
        if await current_user() is None:
            context["event_data"] = findable.event_data(
                shown, public_url=shop().settings.public_url, now=now()
            )
        return await render_template("events/entry.html", **context)

    return await _kept_for_visitors(snapshot, render)


@blueprint.get("/robots.txt")
async def robots() -> ResponseReturnValue:
    """What search engines may look at."""
    return Response(findable.robots(shop().settings.public_url), content_type="text/plain; charset=utf-8")


@blueprint.get("/sitemap.xml")
async def sitemap() -> ResponseReturnValue:
    """The public pages that there are."""
    paths = await findable.public_paths(db_session(), now=now())
    body = findable.sitemap(paths, shop().settings.public_url)
    return Response(body, content_type="application/xml", headers={"Cache-Control": "public, max-age=3600"})


@blueprint.post("/p/<page>/<entry>/buy")
async def buy(page: str, entry: str) -> ResponseReturnValue:
    """Put the chosen tickets into the cart; a visitor's choice is kept and leads to the sign-in (spec: B1, B2)."""
    shown, _ = await _entry(page, entry)
    form = await request.form
    chosen = choices.read_choice(form, shown)
    user = await current_user()
    if user is None:
        choices.check_choice(chosen, shown, now=now())
        if chosen.is_wrong:
            return await _show(shown, chosen)
        return await keeping.to_sign_in(shown, chosen, pays=form.get("then") == "pay")
    count_cart_change(user.id)
    if form.get("then") == "pay" and not chosen.is_wrong:
        return await _buy_now(shown, chosen, user.id, token=form.get("token", ""))
    if not chosen.is_wrong:
        refused = await pending.add(
            db_session(), user_id=user.id, entry_id=shown.id, chosen=chosen.numbers, now=now()
        )
        for type_id, error in refused.items():
            chosen.refuse(type_id, error)
    if chosen.is_wrong:
        return await _show(shown, chosen)
    added = sum(chosen.numbers.values())
    if not wants_fragment():
        return see_other(f"{shown.href}?added={added}")
    return await _show(shown, Choice(), added=added)


async def _buy_now(shown: EntryView, chosen: Choice, user_id: UUID, *, token: str) -> ResponseReturnValue:
    """Hold these tickets as an order of their own and go on to its payment; what the cart holds stays there."""
    app = shop()
    try:
        way_on = await app.services.cart.buy_now(
            app.database.sessions,
            user_id=user_id,
            chosen=chosen.numbers,
            token=token if parse_id(token) else str(new_id()),
            now=now(),
        )
    except PaymentsRefused as error:
        await flash(error.message, "error")
        return see_other("/cart")
    except SoldOut as error:
        metrics.CLAIMS_REFUSED.labels(error.code).inc()
        for line in error.lines:
            chosen.refuse(line.ticket_type_id, SoldOut([line]))
    except (Conflict, Invalid) as error:
        metrics.CLAIMS_REFUSED.labels(error.code).inc()
        chosen.reject(error.message)
    else:
        if way_on.words:
            await flash(way_on.words, "error")
        return see_other(way_on.href)
    return await _show(shown, chosen)


async def _brought(shown: EntryView) -> Choice:
    """The numbers that somebody brings from the sign-in, to be bought with one press (keeping.py)."""
    if await current_user() is None or not any(name.startswith(choices.PREFIX) for name in request.args):
        return Choice()
    chosen = choices.read_choice(request.args, shown)
    choices.check_choice(chosen, shown, now=now())
    return chosen


async def _just_added() -> int:
    """How many tickets the address says were just added; nothing for visitors, who all get the same page."""
    text = request.args.get("added", "")
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) and await current_user() is not None else 0


async def _entry(page: str, slug: str) -> tuple[EntryView, Snapshot]:
    snapshot = await catalogue().entry(page, slug)
    if not snapshot.entries:
        raise NotFound
    return snapshot.entries[0], snapshot


async def _cart_with(added: int, user: CurrentUser | None) -> CartSummaryDTO | None:
    """The cart where something was just added: the bar of a phone then leads to its checkout."""
    if not added or user is None:
        return None
    cart = await shop().services.cart.cart_summary(db_session(), user_id=user.id)
    g.badge_count = cart.count  # the badge in the header: not to be asked for once more
    return cart


async def _entry_context(shown: EntryView, chosen: Choice, *, added: int = 0) -> dict[str, object]:
    """What the entry's page and its buy form need; the unfinished checkouts of who is signed in."""
    user, moment = await current_user(), now()
    holds = await shop().services.cart.open_holds(db_session(), user_id=user.id) if user else []
    own = own_holds.of_entry(shown, holds)
    held = own_holds.numbers(shown, holds, moment)
    allowance = await read_allowance(db_session(), shown, user.id if user else None)
    types = [
        (kind.offer, kind.text, allowance.stand(kind.offer, stand_of_type(shown, kind, moment)))
        for kind in shown.types
    ]
    prices = {offer.ticket_type_id: offer.price or 0 for offer, _, _ in types}
    return {
        "entry": shown,
        "page": shown.page,
        "types": types,
        "allowance": allowance,
        "can_buy": any(stand.can_choose for _, _, stand in types),
        "choice": chosen,
        "chosen_total": sum(prices[type_id] * number for type_id, number in chosen.numbers.items()),
        "over": moment >= shown.ends_at,
        "own_holds": own,
        "held": held,
        "may_come_free": any(
            stand.kind == "may_come_free" and offer.ticket_type_id not in held for offer, _, stand in types
        ),
        "open_elsewhere": next((hold.href for hold in holds if hold not in [one.hold for one in own]), None),
        "now": moment,
        "added": added,
        "cart": await _cart_with(added, user),
        "token": new_id() if user else "",
    }


async def _show(shown: EntryView, chosen: Choice, *, added: int = 0) -> tuple[str, int]:
    """The answer to a form: the page, or its form for htmx."""
    template = "events/_changed.html" if wants_fragment() else "events/entry.html"
    return await render_template(template, **await _entry_context(shown, chosen, added=added)), chosen.status


@blueprint.get("/tickets/<uuid:ticket_id>")
async def ticket(ticket_id: UUID) -> ResponseReturnValue:
    """A ticket by its address that cannot be guessed; its code as a QR code once it is confirmed."""
    shown = await _ticket(ticket_id)
    code = shown.code if shown.opens_door else None
    body = await render_template(
        "events/ticket.html",
        ticket=shown,
        page=shown.page,
        qr=qr_image(code) if code else "",
        own=await _own_tickets_beside(shown),
    )
    return _secret(Response(body, content_type="text/html; charset=utf-8"))


@blueprint.get("/tickets/<uuid:ticket_id>/calendar.ics")
async def ticket_calendar(ticket_id: UUID) -> ResponseReturnValue:
    """The event of a ticket as a calendar file; of one that was cancelled, to take it out of the calendar again."""
    shown = await _ticket(ticket_id)
    settings = shop().settings
    url = f"{settings.public_url}/tickets/{shown.id}"
    body = calendar_file(shown, url=url, mail_address=settings.mail_address, now=now())
    answer = Response(body, content_type=f"text/calendar; charset=utf-8; method={method(shown)}")
    answer.headers["Content-Disposition"] = f'attachment; filename="{shown.entry_slug}.ics"'
    return _secret(answer)


async def _ticket(ticket_id: UUID) -> TicketDTO:
    """A ticket as its address shows it to anyone, or to its owner while it is not paid. Raises NotFound."""
    shown = await ticket_by_id(db_session(), ticket_id)
    if shown is None or shown.state not in PUBLIC_STATES + OWN_STATES:
        raise NotFound
    if shown.state in OWN_STATES:
        user = await current_user()
        if user is None or user.id != shown.user_id:
            raise NotFound
    if shown.order_id is not None:
        sold = await shop().services.cart.sold_items(db_session(), order_id=shown.order_id)
        if shown.id in sold:
            return shown.as_sold(sold[shown.id])
    return shown


async def _own_tickets_beside(shown: TicketDTO) -> list[UUID]:
    """The tickets of the same order and event, for its buyer only: whoever has one address has one ticket."""
    user = await current_user()
    if user is None or user.id != shown.user_id or shown.order_id is None or not shown.code:
        return []
    tickets = await shop().services.calendar.get_tickets_for_order(db_session(), shown.order_id)
    return [one.id for one in tickets if one.code and one.entry_id == shown.entry_id]


def _secret(answer: Response) -> Response:
    """Not to be stored, found or passed on: who has the address has the ticket."""
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    return answer
