"""Policies that hold for every route there is, read from `app.url_map`; a new route is held to them at once."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from quart import request
from werkzeug.routing import Rule

from cart.books import keeping
from events.models import Page, TicketType
from shared.access import KEEPABLE_ENDPOINTS, ORIGIN_EXEMPT_ENDPOINTS, PUBLIC_ENDPOINTS
from shared.contracts.states import PageRole
from shared.errors import Invalid
from shared.identity import routes as identity
from shared.ids import new_id
from shared.web import Tillgate
from tests import event_rows
from tests.shop import Shop, all_rows, page_of
from tests.support import Browser, browser

COUNTED = ("rate_limits",)  # whoever asks is counted, before it is known who it is
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
SAMPLE = {
    "order_id": str(new_id()),
    "ticket_id": str(new_id()),
    "run_id": str(new_id()),
    "payment_id": str(new_id()),
    "filename": "icon.svg",
}


def address(rule: Rule, values: dict[str, str] | None = None) -> str:
    """The rule's path with its parameters filled in; what has no value here gets a word nobody uses."""
    path = rule.rule
    for name in rule.arguments:
        value = (values or {}).get(name) or SAMPLE.get(name, "nowhere")
        converter = next((part for part in ("uuid:", "path:", "int:") if f"<{part}{name}>" in path), "")
        path = path.replace(f"<{converter}{name}>", value)
    assert "<" not in path, f"a parameter of {rule.rule} is not filled in"
    return path


def calls(app: Tillgate) -> Iterator[tuple[str, str, str]]:
    """Endpoint, method and path of everything that can be called."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule.endpoint, method, address(rule)


def unsafe_calls(app: Tillgate) -> list[tuple[str, str, str]]:
    """Those that may change something."""
    return [call for call in calls(app) if call[1] in UNSAFE]


def test_lists_of_exceptions_name_what_exists(shop: Shop) -> None:
    """No stale name in access.py: one day something else would be called that (spec: D10)."""
    endpoints = {rule.endpoint for rule in shop.app.url_map.iter_rules()}
    for listed in (PUBLIC_ENDPOINTS, ORIGIN_EXEMPT_ENDPOINTS, KEEPABLE_ENDPOINTS):
        assert listed <= endpoints
    assert KEEPABLE_ENDPOINTS <= PUBLIC_ENDPOINTS


async def test_visitors_are_kept_out(shop: Shop) -> None:
    """Everything that is not in the list needs a signed-in user, and does nothing without one (spec: D10)."""
    client, tried = browser(shop.app), 0
    before = await all_rows(shop.database.sessions, besides=COUNTED)
    for endpoint, method, path in calls(shop.app):
        if endpoint in PUBLIC_ENDPOINTS:
            continue
        answer = await client.open(path, method=method)
        if path.startswith("/api/"):
            assert answer.status_code == 401, path
            assert (await answer.get_json())["code"] == "SIGN_IN_REQUIRED"
        elif method == "GET":
            assert answer.status_code == 303, path
            assert answer.headers["Location"] == f"/sign-in?next={path.replace('/', '%2F')}"
            head = await client.open(path, method="HEAD")
            assert (head.status_code, head.headers["Location"]) == (303, answer.headers["Location"])
        else:
            assert answer.status_code == 401, path
            assert "Please sign in" in await page_of(answer)
        tried += 1
    assert tried > 10
    assert await all_rows(shop.database.sessions, besides=COUNTED) == before


async def test_public_means_public(shop: Shop) -> None:
    """Nobody is sent away from what the list calls public."""
    client = browser(shop.app)
    for endpoint, method, path in calls(shop.app):
        if endpoint in PUBLIC_ENDPOINTS:
            answer = await client.open(path, method=method)
            assert answer.status_code not in (401, 403), path
            assert "next=" not in answer.headers.get("Location", ""), path


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.test"}, {}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}]
)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_foreign_pages_change_nothing(shop: Shop, headers: dict[str, str], signed_in: bool) -> None:
    """Every unsafe method, known address or not, from another origin or from none at all: 403 (spec: D10)."""
    kind = await shop.world.sell()
    client = shop.app.test_client()
    client.cookie_jar = (await shop.buyer_with(kind, 2)).cookie_jar if signed_in else client.cookie_jar
    before = await all_rows(shop.database.sessions)
    paths = {path for _, _, path in calls(shop.app)} | {"/nowhere"}
    exempt = {path for endpoint, _, path in calls(shop.app) if endpoint in ORIGIN_EXEMPT_ENDPOINTS}
    for path in sorted(paths):
        for method in UNSAFE:
            if path not in exempt or method != "POST":
                answer = await client.open(path, method=method, headers=headers)
                assert answer.status_code == 403, (method, path)
    assert await all_rows(shop.database.sessions) == before
    assert shop.payments.calls == []


async def test_the_exempt_prove_themselves_otherwise(shop: Shop) -> None:
    """Only the webhook may come without an origin, and not without its signature (spec: F3)."""
    exempt = [call for call in unsafe_calls(shop.app) if call[0] in ORIGIN_EXEMPT_ENDPOINTS]
    assert [path for _, _, path in exempt] == ["/webhooks/stripe"]
    before = await all_rows(shop.database.sessions, besides=("webhook_refusals",))
    assert (await shop.app.test_client().post("/webhooks/stripe", data=b"{}")).status_code == 400
    assert await all_rows(shop.database.sessions, besides=("webhook_refusals",)) == before


SOMEBODYS = {
    "cart.order": "order_id",
    "cart.confirmation": "order_id",
    "cart.cancel": "order_id",
    "cart.extend": "order_id",
    "cart.organizer_orders": "page",
    "cart.organizer_order": "order_id",
    "cart.organizer_money": "page",
    "cart.organizer_money_rows": "page",
    "cart.organizer_money_file": "page",
    "cart.organizer_payout": "payout",
    "cart.organizer_books": "page",
    "cart.refund": "order_id",
    "cart.give_back": "order_id",
    "cart.organizer_refund": "order_id",
    "cart.refund_as_organizer": "order_id",
    "cart.decide": "order_id",
    "cart.evidence_json": "order_id",
    "cart.evidence_pdf": "order_id",
    "events.organizer_page": "page",
    "events.organizer_entry": "entry",
    "events.door": "page",
    "events.ask_cancel": "entry",
    "events.door_list_file": "entry",
    "events.cancel": "entry",
    "events.ask_move": "entry",
    "events.move": "entry",
    "events.ticket": "ticket_id",
    "events.ticket_calendar": "ticket_id",
}
"""Routes with a parameter that names somebody's object, and that parameter."""

NOBODYS = {
    "static": "files of ours",
    "accent": "a colour",
    "events.page": "a shop is public",
    "events.entry": "so are its events",
    "events.buy": "puts tickets into the caller's own cart",
    "identity.link": "the token is the secret",
    "identity.use_link": "the token is the secret",
}
"""Routes with a parameter that belongs to nobody, and why."""

OPERATORS_ADDRESS = "/operator"
"""All below it belongs to the operator, whatever its parameters name."""


def test_each_parameter_has_an_owner(shop: Shop) -> None:
    """A route with a parameter stands in one of the two tables above, or this fails."""
    with_parameter = {
        rule.endpoint
        for rule in shop.app.url_map.iter_rules()
        if rule.arguments and not rule.rule.startswith(OPERATORS_ADDRESS)
    }
    assert with_parameter == SOMEBODYS.keys() | NOBODYS.keys()


async def test_own_objects_only(shop: Shop) -> None:
    """Another user's order, unpaid ticket or page does not exist for a stranger: 404, nothing written (spec: D10)."""
    kind = await shop.world.sell()
    payout_id = await paid_out(shop, kind)
    owner, stranger = await shop.buyer_with(kind), await shop.buyer("mallory@example.org")
    await employ(shop, owner, kind, PageRole.OWNER)
    order_id, _ = await shop.order_of(owner)
    values = {"order_id": str(order_id), "ticket_id": str(await shop.ticket_of(order_id))}
    values |= {"page": "hall", "entry": "concert", "kind": "gross", "payout": payout_id}
    before = await all_rows(shop.database.sessions, besides=COUNTED)
    owners_calls = []
    for rule in shop.app.url_map.iter_rules():
        if rule.endpoint in SOMEBODYS:
            (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            for client in (stranger, browser(shop.app)):
                answer = await client.open(address(rule, values), method=method)
                expected = (404,) if client is stranger else (303, 401, 404)
                assert answer.status_code in expected, rule.endpoint
                assert str(kind) not in await page_of(answer)
            owners_calls.append((method, address(rule, values)))
    assert await all_rows(shop.database.sessions, besides=COUNTED) == before
    assert shop.payments.calls == ["customer", "create"], "a stranger made us call Stripe"
    for method, path in owners_calls:
        answer = await owner.open(path, method=method)
        # the owner may be told that it is too late for this (409), too early (400, spec: C4), or that something has to
        # be entered (422), never that it is not
        assert answer.status_code in (200, 303, 400, 409, 422), path


async def paid_out(shop: Shop, kind: UUID) -> str:
    """A payout that holds the money of a ticket; its id."""
    await shop.world.paid(kind)
    payout = shop.payments.pay_out("EUR")
    await keeping.post_new(shop.database.sessions, shop.world.till, now=shop.clock.now())
    shop.payments.calls.clear()
    return payout.id


async def employ(shop: Shop, client: Browser, kind: UUID, role: PageRole) -> Page:
    """Give somebody a role on the page of this ticket type."""
    async with shop.database.sessions.begin() as session:
        page = await session.get_one(Page, (await session.get_one(TicketType, kind)).page_id)
        await event_rows.add_member(session, page, client.user_id, role)
        return page


async def test_organizers_see_their_own_page_only(shop: Shop) -> None:
    """Not another's page, not another's order at their own page's address; the door does not see sales (spec: D10)."""
    hall, club = await shop.world.sell(), await shop.world.sell(page="club")
    orders = {}
    for page, kind in (("hall", hall), ("club", club)):
        orders[page] = await shop.paid_order_of(await shop.buyer_with(kind, email=f"{page}@buyer.example"))
    for role, status in ((PageRole.OWNER, 200), (PageRole.STAFF, 200), (PageRole.DOOR, 404)):
        worker = await shop.buyer(f"{role}@example.org")
        await employ(shop, worker, hall, role)
        for path in ("", "/orders", f"/orders/{orders['hall']}", "/books"):
            assert (await worker.get(f"/organizer/hall{path}")).status_code == status, (role, path)
        for path in (
            "/club",
            "/club/orders",
            "/club/books",
            f"/club/orders/{orders['club']}",
            f"/hall/orders/{orders['club']}",
        ):
            assert (await worker.get(f"/organizer{path}")).status_code == 404, (role, path)


async def test_operators_pages_are_nobody_elses(shop: Shop) -> None:
    """Not a buyer's, not an organizer's who runs a page: to them, nothing is there (spec: H8, D10)."""
    kind = await shop.world.sell()
    owner = await shop.buyer("owner@example.org")
    await employ(shop, owner, kind, PageRole.OWNER)
    order_id = await shop.paid_order_of(await shop.buyer_with(kind))
    before, tried = await all_rows(shop.database.sessions, besides=COUNTED), 0
    for rule in shop.app.url_map.iter_rules():
        if rule.rule.startswith(OPERATORS_ADDRESS):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                path = address(rule, {"order_id": str(order_id)})
                assert (await owner.open(path, method=method)).status_code == 404, path
                tried += 1
    assert tried >= 6
    assert await all_rows(shop.database.sessions, besides=COUNTED) == before


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/guessed"])
async def test_guessing_is_limited(shop: Shop, path: str) -> None:
    """Addresses, codes and links can't be tried without end, whatever is sent; other pages stay open (spec: D10)."""
    client = browser(shop.app)
    statuses = {
        (await client.post(path, form={"code": "000000"})).status_code for _ in range(identity.SIGN_IN_LIMIT)
    }
    assert 429 not in statuses
    answer = await client.post(path, form={"code": "000000"})
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert (await client.get("/")).status_code == 200
    shop.clock.advance(seconds=int(answer.headers["Retry-After"]))
    assert (await client.post(path, form={"code": "000000"})).status_code != 429


HEADERS = (
    "Content-Security-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
    "Cross-Origin-Opener-Policy",
    "Permissions-Policy",
    "Cache-Control",
)


@pytest.mark.parametrize("signed_in", [True, False])
async def test_headers_on_every_answer(shop: Shop, signed_in: bool) -> None:
    """Each of the headers of Trust once on every answer of every route, whoever asks and whatever comes of it."""
    client = await shop.buyer() if signed_in else browser(shop.app)
    for _, method, path in (*calls(shop.app), ("", "GET", "/nowhere"), ("", "DELETE", "/cart")):
        answer = await client.open(path, method=method)
        assert [len(answer.headers.getlist(name)) for name in HEADERS] == [1] * len(HEADERS), (method, path)
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        if "/sign-out" in path:
            client = await shop.buyer() if signed_in else client


async def test_tickets_are_not_stored(shop: Shop) -> None:
    """A ticket's page and its calendar file: no-store and out of search engines (design: Trust)."""
    order_id = await shop.paid_order_of(await shop.buyer_with(await shop.world.sell()))
    ticket_id = await shop.ticket_of(order_id)
    for path in (f"/tickets/{ticket_id}", f"/tickets/{ticket_id}/calendar.ics"):
        answer = await browser(shop.app).get(path)
        assert answer.status_code == 200
        assert "no-store" in answer.headers["Cache-Control"]
        assert "noindex" in answer.headers["X-Robots-Tag"]


async def test_api_errors_have_one_shape(shop: Shop) -> None:
    """`error`, `details`, `code` as JSON for every kind of error under /api/, htmx or not (spec: D9)."""

    async def tried(kind: str) -> str:
        if kind == "invalid":
            raise Invalid(field="email")
        if kind == "bug":
            raise RuntimeError
        await request.get_json()
        return "never"

    shop.app.add_url_rule("/api/v1/tried/<kind>", "tried", tried, methods=["POST"])
    client, visitor = await shop.buyer(), browser(shop.app)
    json = {"Content-Type": "application/json", "Origin": "http://shop.test"}
    answers = {
        400: await client.post("/api/v1/tried/json", data=b"{", headers=json),
        401: await visitor.get("/api/v1/cart/summary"),
        403: await client.post("/api/v1/tried/json", headers={"Origin": "http://evil.test"}),
        404: await client.get("/api/v1/nowhere", headers={"HX-Request": "true"}),
        405: await client.delete("/api/v1/cart/summary"),
        413: await client.post("/api/v1/tried/json", data=b" " * (1024 * 1024 + 1), headers=json),
        422: await client.post("/api/v1/tried/invalid"),
        500: await client.post("/api/v1/tried/bug"),
    }
    for status, answer in answers.items():
        body = await answer.get_json()
        assert answer.status_code == status
        assert body.keys() == {"error", "details", "code"}
        assert len(body["error"]) > 10
        assert body["code"] == body["code"].upper()
    assert (await answers[422].get_json())["details"] == {"field": "email"}
    assert "RuntimeError" not in await page_of(answers[500])
    assert "GET" in answers[405].headers["Allow"]
