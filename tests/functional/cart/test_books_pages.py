"""The organizer's money pages: figures that add up, rows behind each, payouts by their orders; only of their own page.

The peers' pains: books are reconciled by hand and the net per sale is unknown (Attendize 1071, alf.io 1299); refunds
are missing from the sales (Hi.Events 876).
"""

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from io import StringIO
from uuid import UUID

import pytest

from cart.books import keeping, payouts
from cart.books.views import ledger_balance, waiting
from cart.refunds import sending
from cart.refunds.by_line import refund_items
from cart.refunds.owing import RefundReason
from events.models import Page, TicketType
from shared.contracts.states import PageRole
from shared.csv_file import harmless
from tests import event_rows
from tests.shop import Shop, page_of
from tests.support import Browser

NOVEMBER, DECEMBER = datetime(2026, 11, 29, 12, tzinfo=UTC), datetime(2026, 12, 2, 12, tzinfo=UTC)


async def owner_of(shop: Shop, type_id: UUID) -> Browser:
    """Somebody who runs the page of a type."""
    client = await shop.buyer(f"owner-{type_id}@example.org")
    async with shop.database.sessions.begin() as session:
        page = await session.get_one(Page, (await session.get_one(TicketType, type_id)).page_id)
        await event_rows.add_member(session, page, client.user_id, PageRole.OWNER)
    return client


def turn_to(shop: Shop, moment: datetime) -> None:
    """The shop's clock and the bank's."""
    shop.clock.advance(seconds=(moment - shop.clock.now()).total_seconds())
    shop.payments.now = moment


async def post(shop: Shop) -> None:
    """The worker's sweep."""
    await keeping.post_new(shop.database.sessions, shop.world.till, now=shop.clock.now())


async def give_back(shop: Shop, order_id: UUID) -> None:
    """The organizer refunds one ticket, and Stripe carries it out."""
    async with shop.database.sessions.begin() as session:
        tickets = await shop.world.calendar.get_tickets_for_order(session, order_id)
        await refund_items(
            session, shop.world.till, order_id=order_id, item_ids=[tickets[0].id], page_id=None,
            actor="user:x", reason=RefundReason.ORGANIZER, now=shop.clock.now(),
        )  # fmt: skip
    await sending.send_due(shop.database.sessions, shop.world.till, now=shop.clock.now())


async def rows(client: Browser, path: str, status: int = 200) -> list[list[str]]:
    """The text of every table row of a page, cell by cell."""
    answer = await client.get(path)
    body = await page_of(answer)
    assert answer.status_code == status, body
    found = []
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", body, re.DOTALL):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        found.append([" ".join(unescape(re.sub(r"<[^>]+>", "", cell)).split()) for cell in cells])
    return found


async def a_busy_autumn(shop: Shop) -> tuple[Browser, UUID, UUID]:
    """45.00 sold in November, 30.00 in December, of which a ticket of 15.00 goes back; the owner and both orders."""
    turn_to(shop, NOVEMBER)
    kind = await shop.world.sell(cost=1500)
    _, first, _ = await shop.world.paid(kind, 3)
    turn_to(shop, DECEMBER)
    _, second, _ = await shop.world.paid(kind, 2)
    await give_back(shop, second)
    await post(shop)
    return await owner_of(shop, kind), first, second


async def test_what_was_earned(shop: Shop) -> None:
    """Gross, fees, refunds, net: 75.00 less 1.00 less 15.00 is 59.00 (spec: H6; Attendize 1071, Hi.Events 876)."""
    owner, _, _ = await a_busy_autumn(shop)
    assert (await rows(owner, "/organizer/hall/money"))[1:6] == [
        ["Sold", "2", "€75.00"],
        ["Stripe's fees", "2", "−€1.00"],
        ["Refunded", "1", "−€15.00"],
        ["Disputed, with the bank's fee", "0", "€0.00"],
        ["Net", "5", "€59.00"],
    ]
    entry = next(row for row in await rows(owner, "/organizer/hall") if row[0].startswith("Concert"))
    assert [cell for cell in entry if "€" in cell] == ["€75.00", "−€15.00"]


async def test_each_period_has_its_own_money(shop: Shop) -> None:
    """By month, by days in the page's zone, or a word why not (spec: H6)."""
    owner, _, _ = await a_busy_autumn(shop)

    async def net(query: str) -> list[str]:
        found = await rows(owner, f"/organizer/hall/money?{query}")
        return next((row for row in found if row[0] == "Net"), [])

    assert await net("month=2026-11") == ["Net", "2", "€44.50"]
    assert await net("month=2026-12") == ["Net", "3", "€14.50"]
    assert await net("month=2026-10") == []
    assert await net("from=2026-11-29&to=2026-11-29") == ["Net", "2", "€44.50"]
    assert await net("from=2026-12-03") == []
    body = await page_of(await owner.get("/organizer/hall/money"))
    assert re.findall(r'href="\?month=([0-9-]+)"', body) == ["2026-12", "2026-11"]


@pytest.mark.parametrize(
    "query",
    [
        "month=2026-13",
        "month=soon",
        "from=yesterday",
        "from=2026-12-02&to=2026-12-01",
        "to=9999-12-31",
        "to=0001-01-01",
    ],
)
async def test_what_is_no_period(shop: Shop, query: str) -> None:
    """A clear word beside the fields, 422, on each of the pages."""
    owner = await owner_of(shop, await shop.world.sell())
    for path in ("money", "money/gross", "money.csv"):
        answer = await owner.get(f"/organizer/hall/{path}?{query}")
        assert answer.status_code == 422, path
        assert "period" in (await page_of(answer)).lower()


async def test_every_number_is_a_link_to_its_rows(shop: Shop) -> None:
    """Each sum opens its transfers, which add up to it and open their orders (look: the office)."""
    owner, first, second = await a_busy_autumn(shop)
    body = await page_of(await owner.get("/organizer/hall/money"))
    assert 'href="/organizer/hall/money/refunds?currency=EUR"' in body
    sold = await rows(owner, "/organizer/hall/money/gross?currency=EUR")
    assert [row[-1] for row in sold] == ["Amount", "€30.00", "€45.00", "€75.00"]
    assert sold[-1][0] == "2 together"
    listed = await page_of(await owner.get("/organizer/hall/money/gross?currency=EUR"))
    assert listed.index(f"orders/{second}#money") < listed.index(f"orders/{first}#money")
    everything = await rows(owner, "/organizer/hall/money/net?month=2026-12")
    assert sorted(row[-1] for row in everything[1:-1]) == ["€30.00", "−€0.50", "−€15.00"]
    assert everything[-1] == ["3 together", "€14.50"]
    assert (await owner.get("/organizer/hall/money/nothing")).status_code == 404
    assert "Nothing here" in await page_of(await owner.get("/organizer/hall/money/disputes"))


async def test_an_order_says_what_is_left_of_it(shop: Shop) -> None:
    """Net per sale: 30.00 less 0.50 less 15.00 (Attendize 1071)."""
    owner, _, second = await a_busy_autumn(shop)
    found = await rows(owner, f"/organizer/hall/orders/{second}")
    place = found.index(["In the books", "Amount"])
    assert found[place + 1 : place + 5] == [
        ["Sold", "€30.00"],
        ["Stripe's fees", "−€0.50"],
        ["Refunded", "−€15.00"],
        ["Net", "€14.50"],
    ]


async def test_the_file_for_a_spreadsheet(shop: Shop) -> None:
    """The rows as CSV, amounts that add up, times in the page's zone, nothing that a spreadsheet would carry out."""
    turn_to(shop, NOVEMBER)
    kind = await shop.world.sell(cost=1500)
    formula = await shop.buyer_with(kind, email="=1+1@example.org")
    await shop.paid_order_of(formula)
    await post(shop)
    owner = await owner_of(shop, kind)
    answer = await owner.get("/organizer/hall/money.csv?month=2026-11")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="hall-net-2026-11.csv"'
    text = await page_of(answer)
    assert text.startswith("\ufeff"), "without it Excel takes UTF-8 for something else (indico 1135)"
    head, *lines = csv.reader(StringIO(text[1:]))
    assert head == ["When (Europe/Vienna)", "What", "Order", "Buyer", "Reference", "Currency", "Amount"]
    assert sorted(line[-1] for line in lines) == ["-0.50", "15.00"]
    assert {line[0] for line in lines} == {"2026-11-29 13:00:00"}, "as a spreadsheet reads a time"
    assert {line[3] for line in lines} == {"'=1+1@example.org"}
    assert [harmless(text) for text in ("@SUM", "a=1", "-2", "\tx")] == ["'@SUM", "a=1", "'-2", "'\tx"]


async def test_a_platform_payout_shows_each_page_its_part(shop: Shop) -> None:
    """45.00 of one page and 20.00 of another in one payout of 64.00: nobody sees what is the other's (spec: D10)."""
    hall, club = await shop.world.sell(cost=1500), await shop.world.sell(page="club", cost=2000)
    _, order_id, _ = await shop.world.paid(hall, 3)
    await shop.world.paid(club)
    assert shop.payments.pay_out("EUR").amount == 6400
    shop.payments.now += timedelta(hours=1)
    await shop.world.paid(hall)
    await post(shop)
    owner, other = await owner_of(shop, hall), await owner_of(shop, club)
    body = await page_of(await owner.get("/organizer/hall/money"))
    assert "€64.00" not in body
    assert "€20.00" not in body
    listed = await rows(owner, "/organizer/hall/money")
    assert listed[-1] == ["Together", "€44.50"]
    assert "<strong>€14.50</strong>" in body, "what was sold since is in no payout yet"
    contents = await rows(owner, "/organizer/hall/payouts/po_1")
    assert contents[0] == ["Order", "Sold", "Stripe's fees", "Net"]
    assert contents[1:] == [
        [(await shop.world.order(order_id)).number, "€45.00", "−€0.50", "€44.50"],
        ["Your part", "€45.00", "−€0.50", "€44.50"],
    ]
    assert (await rows(other, "/organizer/club/payouts/po_1"))[-1][-1] == "€19.50"
    await shop.world.sell(page="bar")
    bar = await owner_of(shop, await shop.world.sell("evening", page="theatre"))
    assert (await bar.get("/organizer/theatre/payouts/po_1")).status_code == 404
    assert (await owner.get("/organizer/hall/payouts/po_none")).status_code == 404


async def test_a_payout_that_came_back_is_part_of_the_next(shop: Shop) -> None:
    """Failed: its money is in no payout; made again, the page's part is its old one (spec: H6)."""
    hall, club = await shop.world.sell(cost=1500), await shop.world.sell(page="club", cost=2000)
    await shop.world.paid(hall, 3)
    await shop.world.paid(club)
    first = shop.payments.pay_out("EUR")
    await post(shop)
    shop.payments.now += timedelta(days=1)
    failed = shop.payments.fail_payout(first.id)
    async with shop.database.sessions.begin() as session:
        await payouts.apply_payout(session, failed, now=shop.clock.now())
    await post(shop)
    owner = await owner_of(shop, hall)
    assert "<strong>€44.50</strong>" in await page_of(await owner.get("/organizer/hall/money"))
    shop.payments.now += timedelta(days=1)
    again = shop.payments.pay_out("EUR")
    await post(shop)
    assert "<strong>€0.00</strong>" in await page_of(await owner.get("/organizer/hall/money"))
    contents = await rows(owner, f"/organizer/hall/payouts/{again.id}")
    assert contents[1:] == [[f"Sent back by the bank: {first.id}", "€44.50"], ["Your part", "€44.50"]]
    assert "The bank account has been closed." in await page_of(
        await owner.get(f"/organizer/hall/payouts/{first.id}")
    )


async def test_a_page_with_its_own_account_sees_the_whole(shop: Shop) -> None:
    """Stripe's monthly fee too, which belongs to no order: what was earned is what is paid out."""
    kind = await shop.world.sell(cost=2000, stripe_account="acct_hall")
    await shop.world.paid(kind, 2)
    monthly = {
        "payment_intent": None,
        "source": None,
        "metadata": {},
        "type": "stripe_fee",
        "category": "fee",
    }
    shop.payments.booked.append(
        replace(shop.payments.booked[-1], id="txn_monthly", amount=-300, fee=0, net=-300, **monthly)  # type: ignore[arg-type]
    )
    assert shop.payments.pay_out("EUR", stripe_account="acct_hall").amount == 3650
    await post(shop)
    owner = await owner_of(shop, kind)
    shown = await rows(owner, "/organizer/hall/money")
    assert shown[2] == ["Stripe's fees", "2", "−€3.50"]
    assert shown[5] == ["Net", "3", "€36.50"]
    assert shown[-1] == ["Together", "€36.50"]
    contents = await rows(owner, "/organizer/hall/payouts/po_1")
    assert contents[-2:] == [
        ["Of no order", "", "−€3.00", "−€3.00"],
        ["Payout", "€40.00", "−€3.50", "€36.50"],
    ]


async def test_balance_for_the_reconciler(shop: Shop) -> None:
    """What the ledger says Stripe holds, and what is booked there and waits here; together it is Stripe's balance."""
    kind = await shop.world.sell(cost=2000)
    await shop.world.paid(kind)
    _, _, unheard = await shop.world.bought(kind)
    shop.payments.pay(unheard)
    await post(shop)
    async with shop.database.sessions() as session:
        assert await ledger_balance(session) == {("", "EUR"): 1950}
        assert await waiting(session) == {("", "EUR"): 1950}
    assert await shop.payments.balance(stripe_account="") == {"EUR": 3900}
