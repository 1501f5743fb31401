"""What a page weighs on its way: one stylesheet, one script, all that shrinks packed, and nothing sent twice."""

import gzip
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin

from shared.clock import ManualClock
from shared.contracts.states import PageRole
from shared.database import Sessions
from shared.static_files import SCRIPTS, STATIC, STYLES, asset
from shared.web import Tillgate
from tests import event_rows
from tests.support import Browser, browser, signed_in_client

BUDGET = 90_000  # bytes: an event's page, cold, in all
PACKED = {"Accept-Encoding": "gzip, deflate, br"}
LOADS = re.compile(r'<(?:link rel="(?:icon|preload|stylesheet)" href|script src|img [^>]*?src)="([^"]+)"')
ROOM_OF_HEADERS = 600  # what the headers of one answer weigh, roughly; HTTP/2 makes it less


async def sell(sessions: Sessions, clock: ManualClock, *, owner: Browser | None = None) -> None:
    """An event with all that an organizer may put on its page, and a picture larger than most."""
    async with sessions.begin() as session:
        page = await event_rows.add_page(session, "hall", accent="#1f5c4a")
        entry = await event_rows.add_entry(
            session,
            page,
            "late-concert",
            starts_at=clock.now() + timedelta(days=3),
            picture="dome.svg",
            text="Twelve musicians, an empty pool, and an echo of nine seconds. " * 20,
        )
        for cost in (1200, 2500, 4000):
            await event_rows.add_type(session, entry, cost=cost)
        if owner is not None:
            await event_rows.add_member(session, page, owner.user_id, PageRole.OWNER)


async def fetch(client: Any, path: str, **headers: str) -> Any:
    answer = await client.get(path, headers={**PACKED, **headers})
    assert answer.status_code == 200, path
    return answer, await answer.get_data(as_text=False)


async def test_an_event_page_weighs_little(app: Tillgate, sessions: Sessions, clock: ManualClock) -> None:
    """All that a first visit fetches, as transferred (90 KB)."""
    await sell(sessions, clock)
    client = browser(app)
    _, body = await fetch(client, "/p/hall/late-concert")
    weights = {"the page": len(body) + ROOM_OF_HEADERS}
    for address in LOADS.findall(gzip.decompress(body).decode()):
        answer, sent = await fetch(client, urljoin("/p/hall/late-concert", address))
        weights[address] = len(sent) + ROOM_OF_HEADERS
        assert "max-age=31536000, immutable" in answer.headers["Cache-Control"], address
    # fonts, looks, accent, script, picture, icon: the pattern has found them
    assert len(weights) >= 8, weights
    assert sum(weights.values()) <= BUDGET, weights


async def test_a_page_loads_one_stylesheet_and_one_script(
    app: Tillgate, sessions: Sessions, clock: ManualClock
) -> None:
    """Of ours; a page's accent is a sheet of its own, shared by its pages. Each part of ours is in the bundle."""
    owner = await signed_in_client(app, "owner@example.org")
    await sell(sessions, clock, owner=owner)
    for path, looks in (("/p/hall/late-concert", "shop"), ("/cart", "shop"), ("/organizer/hall", "office")):
        body = await (await owner.get(path)).get_data(as_text=True)
        assert re.findall(r'rel="stylesheet" href="(/static/[^"]+)"', body) == [asset(f"{looks}.css")]
        assert re.findall(r'<script src="([^"]+)"', body) == [asset("all.js")]
    for bundle, folder, parts in (*_bundles(STYLES, "css"), *_bundles(SCRIPTS, "js")):
        sent = await (await owner.get(asset(bundle))).get_data(as_text=True)
        for part in parts:
            source = (STATIC / folder / f"{part}.{folder}").read_text()
            assert source.splitlines()[0] in sent, (bundle, part)
        assert "../" not in sent  # an address that was true in the part's own folder
        assert folder == "js" or asset("vendor/sans-latin.woff2") in sent
    assert {path.stem for path in (STATIC / "css").iterdir()} == set(STYLES["office.css"])
    assert {path.stem for path in (STATIC / "js").iterdir()} == set(SCRIPTS["all.js"])


def _bundles(bundles: dict[str, tuple[str, ...]], folder: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(name, folder, parts) for name, parts in bundles.items()]


async def test_static_files_are_kept_by_their_content(app: Tillgate) -> None:
    """For good under the right fingerprint only; asked again, it costs no body."""
    client = browser(app)
    packed, body = await fetch(client, asset("icon.svg"))
    assert gzip.decompress(body) == (STATIC / "icon.svg").read_bytes()
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
    plain = await client.get(asset("icon.svg"))
    assert await plain.get_data(as_text=False) == (STATIC / "icon.svg").read_bytes()
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["ETag"] != packed.headers["ETag"]
    again = await client.get("/static/icon.svg", headers={**PACKED, "If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304
    assert await again.get_data(as_text=False) == b""
    of_another_version = await client.get("/static/icon.svg?v=0123456789")
    assert of_another_version.headers["Cache-Control"] == "public, no-cache"
    font, _ = await fetch(client, asset("vendor/sans-latin.woff2"))
    assert "Content-Encoding" not in font.headers
    # another spelling is another key of what is kept in memory
    for nowhere in ("./icon.svg", "vendor//htmx.min.js", "vendor/../icon.svg", "vendor/pdf-han.ttf"):
        assert (await client.get(f"/static/{nowhere}")).status_code == 404, nowhere
    for nowhere in ("../pyproject.toml", "css", "..%2fpyproject.toml", "css/../../pyproject.toml"):
        assert (await client.get(f"/static/{nowhere}")).status_code == 404, nowhere


async def test_answers_are_packed_for_whoever_takes_it(
    app: Tillgate, sessions: Sessions, clock: ManualClock
) -> None:
    """Not where a stranger's address could put words into a page with somebody's secrets (BREACH)."""
    owner = await signed_in_client(app, "owner@example.org")
    await sell(sessions, clock, owner=owner)
    for path in ("/", "/p/hall/late-concert", "/p/hall/late-concert?added=1", "/cart", "/nowhere"):
        answer = await owner.get(path, headers=PACKED)
        body = await answer.get_data(as_text=False)
        assert answer.headers["Content-Encoding"] == "gzip", path
        assert answer.content_length == len(body)
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert b"</html>" in gzip.decompress(body)
    for path, headers in (
        ("/", {}),
        ("/", {"Accept-Encoding": "identity"}),
        ("/", {"Accept-Encoding": "gzip;q=0"}),
        ("/sign-in?next=/cart", PACKED),
        ("/organizer/hall/orders?q=ada", PACKED),
    ):
        answer = await owner.get(path, headers=headers)
        assert answer.status_code in (200, 303)
        assert "Content-Encoding" not in answer.headers, (path, headers)


async def test_a_file_is_packed_while_it_is_made(
    app: Tillgate, sessions: Sessions, clock: ManualClock
) -> None:
    """The same rows, whether packed or not."""
    owner = await signed_in_client(app, "owner@example.org")
    await sell(sessions, clock, owner=owner)
    path = "/organizer/hall/money.csv"
    answer, body = await fetch(owner, path)
    assert answer.headers["Content-Encoding"] == "gzip"
    plain = await owner.get(path)
    assert await plain.get_data(as_text=False) == gzip.decompress(body)
