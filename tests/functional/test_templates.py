"""Every file under templates/ is rendered: one walk through all pages and mails, held against the folder."""

from dataclasses import replace
from uuid import UUID

from jinja2 import Environment
from quart import Response
from sqlalchemy import select

from cart.books import keeping
from cart.disputes import apply_dispute
from cart.foreign.models import ForeignPayment
from cart.models import Order, Refund, WebhookEvent
from cart.reconcile.run import reconcile
from events.models import Entry, Page, TicketType
from shared import mail
from shared.contracts.states import EntryState, OrderState, PageRole
from shared.settings import ROOT
from tests import event_rows
from tests.shop import Shop, page_of
from tests.support import Browser, browser

HTMX = {"HX-Request": "true"}


def loaded(environment: Environment) -> set[str]:
    """Names of the templates that an environment has loaded, included and imported ones too."""
    assert environment.cache is not None
    return {name for _, name in environment.cache.keys()}  # noqa: SIM118 - jinja's cache is not a dict


def on_disk() -> set[str]:
    """Names of all template files."""
    folder = ROOT / "templates"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def test_every_template_is_rendered(shop: Shop) -> None:
    """A template that this walk does not reach fails it: take the walk there, or delete the file (issue 2.8)."""
    mail._templates.cache_clear()
    kind = await shop.world.sell(capacity=20, cost=1500)
    await walk_as_a_visitor(shop)
    await walk_to_the_tickets(shop, kind)
    await walk_through_the_office(shop, kind)
    await walk_along_the_edges(shop, kind)
    await walk_as_the_operator(shop)
    await walk_through_the_books(shop, kind)
    await walk_to_a_cancelled_event(shop, kind)
    assert loaded(shop.app.jinja_env) | loaded(mail._templates()) == on_disk()


async def read(client: Browser, path: str, *words: str, status: int = 200, **others: object) -> str:
    """The page at an address; it has the words in it, and nothing that a template left undone."""
    return await check(await client.get(path, **others), path, *words, status=status)


async def check(answer: Response, path: str, *words: str, status: int = 200) -> str:
    """The same for an answer."""
    page = await page_of(answer)
    assert answer.status_code == status, path
    for word in words:
        assert word in page, (path, word)
    for left in ("{{", "{%", "None", "Undefined", "UUID(", "Decimal("):
        assert left not in page, (path, left)
    return page


async def walk_as_a_visitor(shop: Shop) -> None:
    """Window, shop, event, and the sign-in with its mail, its code and its link."""
    visitor = browser(shop.app)
    for path in ("/", "/p/hall", "/p/hall/concert"):
        await read(visitor, path, "Concert")
    await read(visitor, "/sign-in", "Your e-mail address")
    await visitor.post("/sign-in", form={"email": "ada@example.org"})
    await read(visitor, "/sign-in/code", "ada@example.org", "six-digit code")
    await read(visitor, "/sign-in/guessed", "ask for a new mail", status=410)
    await read(visitor, "/nowhere", "Nothing here", status=404)
    await check(
        await visitor.get("/nowhere", headers=HTMX), "/nowhere", "nothing at this address", status=404
    )


async def walk_to_the_tickets(shop: Shop, kind: UUID) -> None:
    """Two parts of one cart, one paid; the stranger who comes back from Stripe without a cookie."""
    yen = await shop.world.sell("recital", page="tokyo", currency="JPY", cost=3000)
    client = await shop.buyer_with(kind, 2)
    await read(client, "/account", "ada@example.org")
    answer = await client.post("/p/tokyo/recital/buy", form={f"quantity-{yen}": "1"}, headers=HTMX)
    await check(answer, "/p/tokyo/recital/buy", "Added to cart", "3 tickets", "Check out")
    await read(client, "/cart", "Concert", "¥3,000")
    await check(await client.get("/cart", headers=HTMX), "/cart", "Recital")
    first, second = await shop.world.start(client.user_id)
    session_id = (await shop.world.hand_over(client.user_id, first)).session_id
    assert session_id is not None
    await read(client, f"/orders/{first}", "Not paid yet", "Part 2")
    shop.payments.pay(session_id)
    await read(browser(shop.app), f"/checkout/complete?session_id={session_id}", "Thank you")
    await read(client, f"/orders/{first}/confirmation", "You are in", "The next part is still to be paid")
    await read(client, f"/tickets/{await shop.ticket_of(first)}", "Show this at the door")
    await read(client, "/orders", "Paid", "Concert")
    assert (await shop.world.order(second)).state == OrderState.PENDING


async def walk_through_the_office(shop: Shop, kind: UUID) -> None:
    """The organizer's pages, their orders, one of them."""
    organizer = await shop.buyer("organizer@example.org")
    await read(organizer, "/organizer", "You do not sell on any page yet")
    async with shop.database.sessions.begin() as session:
        page = await session.get_one(Page, (await session.get_one(TicketType, kind)).page_id)
        await event_rows.add_member(session, page, organizer.user_id, PageRole.OWNER)
    buyer = await shop.buyer_with(kind, email="eve@example.org")
    order_id, session_id = await shop.order_of(buyer)
    await shop.world.settle(shop.payments.pay(session_id))
    await read(organizer, "/organizer", "Hall")
    await read(organizer, "/organizer/hall", "Concert", "€45.00")
    await read(organizer, "/organizer/hall/entries/concert", "Ticket types", "Cancel this event")
    await read(organizer, "/organizer/hall/door", "Concert", "Door list")
    await read(organizer, "/organizer/hall/entries/concert/cancel", "cannot be undone")
    move = "/organizer/hall/entries/concert/move"
    await read(organizer, move, "gets a mail with the old and the new time")
    to = {"starts_at": "2090-12-08T20:00", "ends_at": "2090-12-08T23:00", "place": "New Hall"}
    assert (await organizer.post(move, form=to)).status_code == 303
    await read(organizer, "/organizer/hall/orders", "eve@example.org")
    order = f"/organizer/hall/orders/{order_id}"
    await read(organizer, order, "eve@example.org", "€15.00")
    await read(organizer, f"{order}/refund?item=1", "Refund 1 ticket", "€15.00")
    await read(buyer, f"/orders/{order_id}/refund", "ask the organizer")
    payout = shop.payments.pay_out("EUR")
    await keeping.post_new(shop.database.sessions, shop.world.till, now=shop.clock.now())
    await read(organizer, "/organizer/hall/money", "Net", payout.id, "€45.00")
    await read(
        organizer, "/organizer/hall/money/gross?month=" + f"{shop.clock.now():%Y-%m}", "eve@example.org"
    )
    await read(organizer, f"/organizer/hall/payouts/{payout.id}", "Your part")
    async with shop.database.sessions.begin() as session:
        dispute = shop.payments.dispute(session_id)
        await apply_dispute(session, shop.world.till, dispute, now=shop.clock.now())
    await read(organizer, order, "Dispute over €15.00", "Blocked")
    await read(organizer, "/organizer/hall/orders", "Needs a decision", "did not pay")
    await read(buyer, f"/orders/{order_id}", "not valid for entry")


async def walk_as_the_operator(shop: Shop) -> None:
    """Health with everything wrong, events, one of them, refunds, an order."""
    shop.app.settings = replace(shop.app.settings, operators=("boss@example.org",))
    operator, now = await shop.buyer("boss@example.org"), shop.clock.now()
    await read(operator, "/operator", "No worker has ever run here", "Runbook:")
    await read(operator, "/operator/events", "No such events")
    await read(operator, "/operator/overdue", "No payment takes too long")
    async with shop.database.sessions.begin() as session:
        session.add(
            WebhookEvent(
                id="evt_1", stripe_account="", type="payout.paid", livemode=False, body=b"{}", received_at=now
            )
        )
    await read(operator, "/operator/events", "payout.paid", "Waits")
    await read(operator, "/operator/events/evt_1", "payout.paid", "Process again")
    async with shop.database.sessions.begin() as session:
        refund = (await session.scalars(select(Refund).where(Refund.state == "due").limit(1))).one()
        refund.state = "failed"
        by_hand = {"reason": "by_hand", "state": "succeeded", "amount": 100, "unallocated": True}
        same = {
            name: getattr(refund, name) for name in ("payment_id", "order_id", "currency", "stripe_account")
        }
        session.add(Refund(**same, **by_hand))
    await read(operator, "/operator/refunds", "A refund failed", f"/operator/orders/{refund.order_id}")
    await read(operator, "/operator/foreign", "No such payment waits")
    made_by_hand = {
        "payment_intent": "pi_1",
        "session_id": "cs_test_byhand",
        "amount": 1500,
        "currency": "EUR",
    }
    async with shop.database.sessions.begin() as session:
        session.add(
            ForeignPayment(stripe_account="", livemode=False, paid_at=now, noticed_at=now, **made_by_hand)
        )
    await read(operator, "/operator/foreign", "Send it back", "pi_1")
    await read(operator, "/checkout/complete?session_id=cs_test_byhand", "Your payment was received")
    order = f"/operator/orders/{refund.order_id}"
    await read(operator, order, "No longer owed", "Refund: ", "Checkout session", "Which tickets was it for?")


async def walk_through_the_books(shop: Shop, kind: UUID) -> None:
    """Before the first run, and with something that differs."""
    organizer, operator = await shop.buyer("organizer@example.org"), await shop.buyer("boss@example.org")
    await read(organizer, "/organizer/hall/books", "Not compared yet")
    await read(operator, "/operator/books", "Not compared yet")
    shop.payments.now = shop.clock.now()
    _, _, session_id = await shop.world.bought(kind)
    shop.payments.pay(session_id)
    shop.clock.advance(minutes=20)  # younger ones are still in somebody's hands
    await reconcile(shop.database.sessions, shop.world.till, now=shop.clock.now())
    await read(organizer, "/organizer/hall/books", "Paid at Stripe, not settled here", "To be looked at")
    await read(operator, "/operator/books", "Paid at Stripe, not settled here", "dry run")


async def walk_along_the_edges(shop: Shop, kind: UUID) -> None:
    """Money that is late, fails or comes twice, with its mails; and every state of an order on its page."""
    world, client = shop.world, await shop.buyer("late@example.org")
    orders: dict[OrderState, UUID] = {}
    for state in OrderState:
        await world.put(client.user_id, kind, 1)
        order_id, session_id = await shop.order_of(client)
        orders[state] = order_id
        if state in (OrderState.EXPIRED, OrderState.CANCELLED):
            shop.clock.advance(minutes=31 if state is OrderState.EXPIRED else 0)
            await world.release(order_id, to=state)
        elif state is not OrderState.PENDING:
            facts = shop.payments.pay(session_id, paid=state is OrderState.PAID)
            await world.settle(facts, failed=state is OrderState.FAILED)
            if state is OrderState.PAID:
                await world.settle(replace(facts, payment_intent="pi_again"))
    lapsed, _ = await shop.order_of(client)
    shop.clock.advance(minutes=31)
    await world.release(lapsed)
    await read(client, "/cart", "your hold on these tickets ended at", "so they are in your cart again")
    for state, order_id in orders.items():
        page = await read(client, f"/orders/{order_id}")
        assert (await world.order(order_id)).state == state
        assert ("goes back to you" in page) == (state is OrderState.PAID)
    await read(client, f"/orders/{orders[OrderState.PROCESSING]}/confirmation", "on its way")
    await read(client, f"/orders/{orders[OrderState.FAILED]}/confirmation", "did not go through")
    assert await world.count(Order) > len(OrderState)


async def walk_to_a_cancelled_event(shop: Shop, kind: UUID) -> None:
    """Last of all: from here on nothing of it is sold."""
    async with shop.database.sessions.begin() as session:
        entry = await session.get_one(Entry, (await session.get_one(TicketType, kind)).entry_id)
        entry.state = EntryState.CANCELLED
    shop.app.extensions["catalogue"].forget()
    await read(browser(shop.app), "/p/hall/concert", "This event is cancelled")
