"""What hurt users of other ticket shops, held against ours: amounts, times, cookies, setting up.

Each test names the pain and where it was seen. Those about stock are in test_peer_pains_stock.py, about payments and
messages in test_peer_pains_money.py.
"""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from cart.models import LedgerTransfer, OrderLine, Payment
from events.models import Entry, Page
from shared.app import create_app
from shared.contracts.states import PageRole
from shared.embedded import EmbeddedPostgres
from shared.settings import ROOT, Settings, SettingsError
from shared.web import Tillgate
from tests.shop import Shop, page_of
from tests.support import browser, signed_in_client


@pytest.mark.parametrize("prices", [(333, 1, 1999), (101, 103, 107), (50, 49, 99_999)])
async def test_parts_add_up_to_the_cent(shop: Shop, prices: tuple[int, ...]) -> None:
    """The tax, or any part, is off by a cent: pretix 5861 (spec: E4, H8).

    Amounts are whole minor units from the cart to the books: lines, order, Stripe, payment and ledger are one number,
    over several pages too, and what the buyer saw.
    """
    client = await shop.buyer()
    for number, price in enumerate(prices):
        kind = await shop.world.sell(f"part-{number}", page=f"page-{number}", cost=price)
        await shop.world.put(client.user_id, kind, 3)
    total = 3 * sum(prices)
    assert f"€{total / 100:,.2f}" in await page_of(await client.get("/cart"))
    order_id, session_id = await shop.order_of(client)
    items = shop.payments.requests[session_id].params["line_items"]
    await shop.world.settle(shop.payments.pay(session_id))
    async with shop.database.sessions() as session:
        lines = list(await session.scalars(select(OrderLine)))
        payments = list(await session.scalars(select(Payment.amount)))
        gross = list(
            await session.scalars(select(LedgerTransfer.amount).where(LedgerTransfer.kind == "gross"))
        )
    sums = {
        "lines": sum(line.amount + line.tax for line in lines),
        "order": (await shop.world.order(order_id)).total,
        "Stripe": sum(item["quantity"] * item["price_data"]["unit_amount"] for item in items),
        "payments": sum(payments),
        "ledger": sum(gross),
    }
    assert set(sums.values()) == {total}, sums
    assert sorted(gross) == sorted(3 * price for price in prices)


@pytest.mark.parametrize(
    ("currency", "price", "shown", "at_stripe"),
    [("JPY", 3000, "¥6,000", "jpy"), ("KWD", 1250, "KWD 2.500", "kwd"), ("EUR", 1250, "€25.00", "eur")],
)
async def test_currencies_with_no_or_three_decimals(
    shop: Shop, currency: str, price: int, shown: str, at_stripe: str
) -> None:
    """Currencies with no or three decimals come out a hundred times too high or low: pretix 783 (spec: B4, E4)."""
    kind = await shop.world.sell(page="away", currency=currency, cost=price)
    client = await shop.buyer_with(kind, 2)
    order_id, session_id = await shop.order_of(client)
    (item,) = shop.payments.requests[session_id].params["line_items"]
    assert (item["price_data"]["unit_amount"], item["price_data"]["currency"]) == (price, at_stripe)
    await shop.world.settle(shop.payments.pay(session_id))
    for path in (f"/orders/{order_id}", f"/orders/{order_id}/confirmation", "/orders"):
        page = await page_of(await client.get(path))
        assert shown in page.replace("\N{NO-BREAK SPACE}", " "), path


async def test_time_zone_is_on_the_ticket(shop: Shop) -> None:
    """No time zone on the ticket: Hi.Events 591, open-event-server 8260 (spec: B14).

    Wherever the buyer and the machine are, a time is the place's own and says so; the calendar file is in UTC.
    """
    kind = await shop.world.sell()
    async with shop.database.sessions.begin() as session:
        await session.execute(update(Page).values(time_zone="Asia/Tokyo"))
        starts_at = datetime(2027, 3, 5, 10, 0, tzinfo=UTC)
        await session.execute(update(Entry).values(starts_at=starts_at, ends_at=starts_at.replace(hour=13)))
    client = await shop.buyer_with(kind)
    order_id = await shop.paid_order_of(client)
    ticket = f"/tickets/{await shop.ticket_of(order_id)}"
    for path in (ticket, f"/orders/{order_id}/confirmation", "/orders", "/p/hall/concert"):
        page = await page_of(await client.get(path))
        assert "19:00" in page, path
        assert "Tokyo" in page, path
        assert "10:00" not in page.replace("T10:00:00+00:00", ""), path
    assert "DTSTART:20270305T100000Z" in await page_of(await client.get(f"{ticket}/calendar.ics"))


async def test_forms_need_no_cookie_of_their_own(shop: Shop) -> None:
    """Cookies and CSRF tokens break forms in frames and in old tabs: Attendize 607, 964, pretix 6297 (spec: D10).

    A form carries no token that could run out: an old tab goes on after a new sign-in. What another site sends changes
    nothing, and no other site can put ours into a frame.
    """
    kind = await shop.world.sell()
    client = await shop.buyer_with(kind)
    old_tab = {"fingerprint": await shop.world.seen(client.user_id)}
    fresh = await signed_in_client(shop.app)
    client.cookie_jar = fresh.cookie_jar
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await client.post("/checkout", form=old_tab, headers=foreign)).status_code == 403
    assert shop.payments.calls == []
    assert (await client.post("/checkout", form=old_tab)).status_code == 303
    page = await client.get("/cart")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "csrf" not in (await page_of(page)).lower()


async def test_cookies_are_the_shops_own(shop: Shop) -> None:
    """The same pain from the other side: cookies that a frame, a script or plain http could read (spec: D10)."""
    app: Tillgate = create_app(
        replace(shop.settings, public_url="https://shop.test"), database=shop.database, clock=shop.clock
    )
    kind = await shop.world.sell()
    visitor = browser(app)
    answer = await visitor.post("/p/hall/concert/buy", form={f"quantity-{kind}": "1"})
    sign_in = await visitor.post("/sign-in", form={"email": "ada@example.org"})
    cookies = answer.headers.getlist("Set-Cookie") + sign_in.headers.getlist("Set-Cookie")
    assert len(cookies) >= 2
    for cookie in cookies:
        for part in ("Secure", "HttpOnly", "SameSite=Lax"):
            assert part in cookie, cookie


def test_setting_up_needs_no_service_and_no_account(tmp_path: Path) -> None:
    """Hard to install: alf.io 1264 (spec: G1).

    With an empty environment, no server running and no key, one command brings a database with all its tables; and for
    production, what is missing is named one by one, in words.
    """
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [sys.executable, "-m", "shared", "migrate"]
    ours = {**bare, "TILLGATE_ENV": "development", "TILLGATE_VAR": str(tmp_path)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=ours, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr
    finally:
        EmbeddedPostgres(tmp_path / "postgres").remove()
    given, missing = {**bare, "TILLGATE_VAR": str(tmp_path)}, []
    values = {
        "SECRET_KEY": "0c4MRrF5lEgvNqvQ2b8hYw7KxJtUaPzS", "PUBLIC_URL": "https://shop.test", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        "STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x", "SMTP_URL": "smtp://127.0.0.1",
        "MAIL_FROM": "Tickets <tickets@shop.test>",
    }  # fmt: skip
    while (problem := problem_with(given)) is not None:
        name = problem.split()[0]
        assert name in values, problem
        assert name not in missing, problem
        missing.append(name)
        given[name] = values[name]
        if name == "STRIPE_SECRET_KEY":  # they belong together
            given["STRIPE_WEBHOOK_SECRET"] = values["STRIPE_WEBHOOK_SECRET"]
    assert {"SECRET_KEY", "PUBLIC_URL", "DATABASE_URL", "STRIPE_SECRET_KEY", "SMTP_URL", "MAIL_FROM"} == set(
        missing
    )


def problem_with(environment: dict[str, str]) -> str | None:
    """What the start says about these settings, in one line; None where it would go on."""
    try:
        Settings.from_env(environment)
    except SettingsError as error:
        return str(error)
    return None


async def test_door_without_a_network(shop: Shop) -> None:
    """Nothing can be scanned offline at the door: Hi.Events 728 (spec: B7, D10).

    Whoever works at the door takes the codes along; they are all that opens it, and no others are.
    """
    kind = await shop.world.sell(capacity=10)
    paid = await shop.paid_order_of(await shop.buyer_with(kind, 2))
    disputed = await shop.paid_order_of(await shop.buyer_with(kind, email="bob@example.org"))
    refunded = await shop.paid_order_of(await shop.buyer_with(kind, email="cy@example.org"))
    await shop.order_of(await shop.buyer_with(kind, email="unpaid@example.org"))
    calendar = shop.app.services.calendar
    async with shop.database.sessions.begin() as session:
        await calendar.block_tickets_for_order(session, disputed, blocked=True)
        gone = await calendar.get_tickets_for_order(session, refunded)
        await calendar.cancel_tickets(session, refunded, ticket_ids=[ticket.id for ticket in gone])
        opening = await calendar.get_tickets_for_order(session, paid)
    door = await shop.buyer("door@example.org")
    await shop.world.employ(kind, door.user_id, PageRole.DOOR)
    listed = await page_of(await door.get("/organizer/hall/entries/concert/door-list.csv"))
    assert [line.split(",")[0] for line in listed.splitlines()] == [
        "\ufeffCode",
        *sorted(ticket.code or "" for ticket in opening),
    ]
    await shop.world.cancel(kind)
    listed = await page_of(await door.get("/organizer/hall/entries/concert/door-list.csv"))
    assert listed.splitlines() == ["\ufeffCode,Ticket,Buyer,Checked in (Europe/Vienna)"]
