"""Live asks nobody, ready asks the database; a database that is away never takes the process down."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from shared import health, web_log
from shared.app import create_app
from shared.clock import SystemClock
from shared.database import Database
from shared.health_facts import shared_facts
from shared.settings import Settings
from shared.web import Tillgate, init_web
from tests.support import browser


def bare_app(settings: Settings, url: str) -> Tillgate:
    """Only the shell and the part under test."""
    app = Tillgate(__name__)
    app.settings, app.clock, app.database = replace(settings, database_url=url), SystemClock(), Database(url)
    app.health_facts = {"the shop": shared_facts}
    init_web(app)
    health.init_app(app)
    return app


async def test_ready_with_a_migrated_database(settings: Settings, database_url: str) -> None:
    """Both addresses answer 200."""
    async with bare_app(settings, database_url).test_app() as app:
        client = app.test_client()
        assert await (await client.get("/health/live")).get_json() == {"status": "live"}
        answer = await client.get("/health/ready")
        assert answer.status_code == 200
        assert (await answer.get_json())["status"] == "ready"
        await app.app.database.close()


async def test_not_ready_before_the_migrations(settings: Settings, empty_database: str) -> None:
    """503, without a word to strangers why; live all the same."""
    async with bare_app(settings, empty_database).test_app() as app:
        answer = await app.test_client().get("/health/ready")
        assert answer.status_code == 503
        assert await answer.get_json() == {"status": "not ready"}
        assert (await app.test_client().get("/health/live")).status_code == 200
        await app.app.database.close()


async def test_starts_without_a_database(settings: Settings, database_url: str) -> None:
    """Start-up work that cannot reach the database says so in the log and the app starts (spec: A6)."""
    nowhere = "postgresql+asyncpg://postgres@/x?host=/nowhere"
    with capture_logs() as lines:
        async with bare_app(settings, nowhere).test_app() as app:
            client = app.test_client()
            assert (await client.get("/health/live")).status_code == 200
            answer = await client.get("/health/ready")
            assert answer.status_code == 503
            assert await answer.get_json() == {"status": "not ready"}
    assert {
        "event": "not ready yet",
        "problem": "The database does not answer.",
        "log_level": "warning",
    } in lines


async def test_log_line_hides_secrets(settings: Settings, database: Database) -> None:
    """Method, path, status and time; neither token nor query string nor the tail of an unknown address."""
    client = browser(create_app(settings, domains=(), database=database))
    with capture_logs() as lines:
        await client.get("/sign-in/very-secret?code=123456")
        await client.get("/sign-in/very-secret/mistyped?code=123456")
        await client.get("/static/nothing.css")
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"]) for line in requests] == [("GET", "/sign-in/…")] * 2
    assert requests[1]["status"] == 404
    assert all(line["ms"] >= 0 for line in requests)
    assert "very-secret" not in str(lines)
    assert "123456" not in str(lines)


@pytest.mark.parametrize(
    ("path", "known", "arguments", "expected"),
    [
        ("/", True, {}, "/"),
        ("/p/jazz/late-night", True, {"page": "jazz", "entry": "late-night"}, "/p/jazz/late-night"),
        ("/tickets/018f/calendar.ics", True, {"ticket_id": "018f"}, "/tickets/…/calendar.ics"),
        ("/wp-admin", False, {}, "/wp-admin"),
        ("/tickets/018f/", False, {}, "/tickets/…"),
    ],
)
def test_masked(path: str, known: bool, arguments: dict[str, str], expected: str) -> None:
    """What opens something for whoever knows it is replaced."""
    assert web_log.masked(path, known, arguments) == expected
