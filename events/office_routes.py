"""The organizer's pages of events: their start, a page's entries, one entry; and the door's. Anything else is 404."""

from zoneinfo import ZoneInfo

from quart import flash, render_template, request
from quart.typing import ResponseReturnValue

from events import moving
from events.cancelling import cancel_entry, check_title, entry_of_owner, orders_with
from events.door_list import door_file, entry_of_member, evenings
from events.office import Overview, entries_of_page, entry_of_seller, midnight, page_and_role
from events.queries import pages_of_member
from events.routes import blueprint, catalogue
from shared.contracts.dtos import Occasion, PageDTO
from shared.contracts.states import SELLING_ROLES, PageRole
from shared.csv_file import CONTENT_TYPE, as_download
from shared.errors import AppError, Conflict, Invalid
from shared.identity.guard import is_operator, require_user
from shared.web import db_session, now, see_other, shop, streamed


@blueprint.get("/organizer")
async def organizer() -> ResponseReturnValue:
    """Where an organizer starts: what needs a decision, then each page in numbers; the door's people find theirs."""
    user = await require_user()
    members = await pages_of_member(db_session(), user_id=user.id)
    pages = [await _overview(page) for page, role in members if role in SELLING_ROLES]
    return await render_template(
        "events/organizer.html",
        pages=pages,
        doors=[page for page, role in members if role is PageRole.DOOR],
        decisions=[one for page in pages for one in page.decisions],
        is_operator=await is_operator(user),
        now=now(),
    )


async def _overview(page: PageDTO) -> Overview:
    session, cart = db_session(), shop().services.cart
    return Overview(
        page,
        await entries_of_page(session, page_id=page.id, now=now()),
        await cart.entry_sales(session, page_id=page.id, since=midnight(now(), page.time_zone)),
        await cart.decisions(session, page=page),
    )


@blueprint.get("/organizer/<page>")
async def organizer_page(page: str) -> ResponseReturnValue:
    """A page's entries: how each stands, how many are sold of how many, and what it has brought."""
    user = await require_user()
    shown, _ = await page_and_role(db_session(), user_id=user.id, slug=page)
    return await render_template(
        "events/organizer_page.html", page=shown, overview=await _overview(shown), now=now()
    )


@blueprint.get("/organizer/<page>/entries/<entry>")
async def organizer_entry(page: str, entry: str) -> ResponseReturnValue:
    """One entry: its types with what is sold, held and free, and what can be done about it."""
    user = await require_user()
    session = db_session()
    shown, role, row = await entry_of_seller(session, user_id=user.id, page_slug=page, slug=entry, now=now())
    sales = await shop().services.cart.entry_sales(
        session, page_id=shown.id, since=midnight(now(), shown.time_zone)
    )
    return await render_template(
        "events/organizer_entry.html",
        page=shown,
        row=row,
        sales=sales.get(row.view.id),
        may_cancel=role is PageRole.OWNER,
    )


@blueprint.get("/organizer/<page>/door")
async def door(page: str) -> ResponseReturnValue:
    """What whoever stands at the door needs: the evenings that come, each with its list."""
    user = await require_user()
    shown, rows = await evenings(db_session(), user_id=user.id, page_slug=page, now=now())
    return await render_template("events/door.html", page=shown, rows=rows)


@blueprint.get("/organizer/<page>/entries/<entry>/door-list.csv")
async def door_list_file(page: str, entry: str) -> ResponseReturnValue:
    """Every ticket that opens the door, to take along where there is no network."""
    user = await require_user()
    shown, row = await entry_of_member(db_session(), user_id=user.id, page_slug=page, slug=entry)
    body = door_file(shop().database.sessions, row, shown.time_zone)
    return streamed(body, CONTENT_TYPE, as_download(f"{shown.slug}-{row.slug}-door"))


@blueprint.get("/organizer/<page>/entries/<entry>/cancel")
async def ask_cancel(page: str, entry: str) -> ResponseReturnValue:
    """What cancelling an event costs and means, before it is done."""
    return await _show_cancel(page, entry)


@blueprint.post("/organizer/<page>/entries/<entry>/cancel")
async def cancel(page: str, entry: str) -> ResponseReturnValue:
    """Cancel an event whose title was typed; once more changes nothing."""
    user = await require_user()
    session = db_session()
    shown, row = await entry_of_owner(session, user_id=user.id, page_slug=page, slug=entry, now=now())
    typed = (await request.form).get("title", "")
    try:
        check_title(row, typed)
    except Invalid as error:
        return await _show_cancel(page, entry, status=error.status, typed=typed, problem=error.message)
    done = await cancel_entry(session, entry_id=row.view.id, actor=f"user:{user.id}", now=now())
    catalogue().forget()
    await flash(
        f"{row.view.title} is cancelled. What was paid for it goes back to its buyers now."
        if done
        else f"{row.view.title} was cancelled already.",
        "ok",
    )
    return see_other(f"/organizer/{shown.slug}")


async def _show_cancel(
    page: str, entry: str, *, status: int = 200, typed: str = "", problem: str = ""
) -> tuple[str, int]:
    user = await require_user()
    session = db_session()
    shown, row = await entry_of_owner(session, user_id=user.id, page_slug=page, slug=entry, now=now())
    body = await render_template(
        "events/cancel.html",
        page=shown,
        row=row,
        entry=row.view,
        orders=await orders_with(session, row.view.id),
        cost=await shop().services.cart.cost_of_cancelling(session, page_id=shown.id, entry_id=row.view.id),
        typed=typed,
        problem=problem,
    )
    return body, status


@blueprint.get("/organizer/<page>/entries/<entry>/move")
async def ask_move(page: str, entry: str) -> ResponseReturnValue:
    """When and where an event takes place, to be changed, and how many people are told."""
    return await _show_move(page, entry)


@blueprint.post("/organizer/<page>/entries/<entry>/move")
async def move(page: str, entry: str) -> ResponseReturnValue:
    """Move an event and tell those who hold its tickets; the same form once more changes nothing."""
    user = await require_user()
    session = db_session()
    shown, row = await moving.entry_to_move(session, user_id=user.id, page_slug=page, slug=entry)
    typed = (await request.form).to_dict()
    try:
        starts_at, ends_at = (
            moving.read_local(typed.get(name, ""), shown.time_zone) for name in ("starts_at", "ends_at")
        )
        told = await moving.move_entry(
            session,
            page=shown,
            entry_id=row.id,
            to=Occasion(starts_at, ends_at, shown.time_zone, typed.get("place", "")[:200]),
            public_url=shop().settings.public_url,
            actor=f"user:{user.id}",
            now=now(),
        )
    except (Invalid, Conflict) as error:
        return await _show_move(page, entry, typed=typed, error=error)
    catalogue().forget()
    await flash(f"{row.title} is saved. {_told(told)}", "ok")
    return see_other(f"/organizer/{shown.slug}")


async def _show_move(
    page: str, entry: str, *, typed: dict[str, str] | None = None, error: AppError | None = None
) -> tuple[str, int]:
    user = await require_user()
    session = db_session()
    shown, row = await moving.entry_to_move(session, user_id=user.id, page_slug=page, slug=entry)
    zone = ZoneInfo(shown.time_zone)
    now_is = {
        "starts_at": f"{row.starts_at.astimezone(zone):%Y-%m-%dT%H:%M}",
        "ends_at": f"{row.ends_at.astimezone(zone):%Y-%m-%dT%H:%M}",
        "place": row.place,
    }
    holders = await moving.holders_of(session, row.id)
    body = await render_template(
        "events/move.html",
        page=shown,
        entry=row,
        typed=now_is | (typed or {}),
        holders=holders,
        problem=error.message if error else "",
    )
    return body, error.status if error else 200


def _told(number: int) -> str:
    if not number:
        return "No mail goes out."
    return (
        f"A mail is on its way to {'the one person' if number == 1 else f'the {number} people'} with tickets."
    )
