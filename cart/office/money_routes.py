"""The organizer's pages about money: what was earned, every transfer behind it, and what was paid out (spec: H6).

Only for owner and staff of the page, 404 for everybody else.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from quart import render_template, request
from quart.typing import ResponseReturnValue

from cart.books import payout_views, views
from cart.books.money_file import money_file
from cart.books.periods import NoPeriod, Period, read_period
from cart.books.views import MoneyKind
from cart.office.routes import seller
from cart.routes import blueprint
from shared.contracts.dtos import PageDTO
from shared.csv_file import CONTENT_TYPE, as_download
from shared.errors import NotFound
from shared.web import db_session, shop, streamed

ALL = "net"  # every kind together


@blueprint.get("/organizer/<page>/money")
async def organizer_money(page: str) -> ResponseReturnValue:
    """Sold, fees, refunds, disputes, net; then the payouts. The period stands in the address."""
    _, shown = await seller(page)
    try:
        return await _show_money(shown, read_period(request.args, shown.time_zone))
    except NoPeriod as error:
        everything = Period(time_zone=shown.time_zone)
        return await _show_money(shown, everything, error=error.message), error.status


async def _show_money(page: PageDTO, period: Period, *, error: str = "") -> str:
    session, everything = db_session(), Period(time_zone=page.time_zone)
    sums = await views.money_of_page(session, page, period)
    in_all = await views.money_of_page(session, page, everything)
    payouts = {
        one.currency: await payout_views.payouts_of_page(session, page, currency=one.currency)
        for one in in_all
    }
    held = {
        one.currency: one.net - sum(row.part for row in payouts[one.currency] if not row.is_over)
        for one in in_all
    }
    return await render_template(
        "cart/organizer_money.html",
        page=page,
        period=period,
        months=await views.months_of_page(session, page),
        sums=sums,
        held=held,
        payouts={
            name: [row for row in rows if period.has(row.payout.created_at)] for name, rows in payouts.items()
        },
        kinds=views.MONEY_WORDS,
        payout_words=payout_views.PAYOUT_WORDS,
        error=error,
        typed=request.args,
        query=urlencode(period.query),
    )


@blueprint.get("/organizer/<page>/money/<kind>")
async def organizer_money_rows(page: str, kind: str) -> ResponseReturnValue:
    """The transfers behind one number, newest first, each opening its order."""
    _, shown = await seller(page)
    chosen, currency, period = _chosen(shown, {**request.args, "kind": kind})
    number = request.args.get("page", "1")
    at = max(1, int(number)) if number.isdecimal() and len(number) < 6 else 1
    session = db_session()
    per_page = views.PER_PAGE
    rows = await views.rows_of_page(
        session,
        shown,
        period,
        kind=chosen,
        currency=currency,
        offset=(at - 1) * per_page,
        limit=per_page + 1,
    )
    sums = {one.currency: one for one in await views.money_of_page(session, shown, period)}
    in_all = sums.get(currency)
    total = (0, 0) if in_all is None else (in_all.net, in_all.count)
    if in_all is not None and chosen is not None:
        total = in_all.by_kind.get(chosen, (0, 0))
    return await render_template(
        "cart/organizer_money_rows.html",
        page=shown,
        period=period,
        kind=chosen,
        kinds=views.MONEY_WORDS,
        currency=currency,
        rows=rows[:per_page],
        total=total,
        number=at,
        more=len(rows) > per_page,
        query={**period.query, "currency": currency},
    )


def _chosen(page: PageDTO, args: Mapping[str, str]) -> tuple[MoneyKind | None, str, Period]:
    """Kind (None = all), currency and period of an address. Raises NotFound and NoPeriod."""
    kind = args.get("kind", ALL)
    if kind != ALL and kind not in list(MoneyKind):
        raise NotFound
    currency = args.get("currency", page.currency)
    return None if kind == ALL else MoneyKind(kind), currency[:3].upper(), read_period(args, page.time_zone)


@blueprint.get("/organizer/<page>/money.csv")
async def organizer_money_file(page: str) -> ResponseReturnValue:
    """The same rows as a file for a spreadsheet."""
    _, shown = await seller(page)
    kind, currency, period = _chosen(shown, request.args)
    body = money_file(shop().database.sessions, shown, period, kind=kind, currency=currency)
    name = "-".join([shown.slug, kind or ALL, *period.query.values()])
    return streamed(body, CONTENT_TYPE, as_download(name))


@blueprint.get("/organizer/<page>/payouts/<payout>")
async def organizer_payout(page: str, payout: str) -> ResponseReturnValue:
    """What a payout is made of, by order."""
    _, shown = await seller(page)
    return await render_template(
        "cart/organizer_payout.html",
        page=shown,
        detail=await payout_views.payout_detail(db_session(), shown, payout),
        kinds=views.MONEY_WORDS,
        payout_words=payout_views.PAYOUT_WORDS,
    )
