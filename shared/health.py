"""Whether this process lives, whether it can serve, and what the operator should know: addresses, page, start-up log.

/health/live and /health/ready are for load balancers and the demo's supervisor, /operator is for people (spec: H8).
"""

import asyncio
import multiprocessing
from http import HTTPStatus
from typing import Any, cast

import structlog
from quart import Blueprint, Response, g, jsonify, render_template
from quart.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError

from shared import migrate
from shared.database import Database
from shared.health_board import FactBoard, screen
from shared.health_facts import Fact, Level, worker_fact
from shared.identity.guard import require_operator
from shared.settings import Settings
from shared.web import Tillgate, db_session, now, shop, wants_json

log = structlog.get_logger()
health = Blueprint("health", __name__)

SECONDS = 3.0  # a database that takes longer than this to answer is not ready


def init_app(app: Tillgate) -> None:
    """Register the addresses, the office's banner, and one look at the database at the start."""
    app.register_blueprint(health)
    app.extensions["fact_board"] = FactBoard(app)
    # a function, called by the office's frame alone: no other page asks the database about the worker
    app.jinja_env.globals["worker_alarm"] = worker_alarm

    async def look() -> None:
        problem = await find_problem(app.database)
        if problem is not None:  # said, never fatal: the database may come up after us (spec: A6)
            log.warning("not ready yet", problem=problem)

    app.before_serving(look)


def announce_at_start(app: Tillgate) -> None:
    """Have this app say at its start how all stands; for a shop, not for commands that come and go."""

    async def look() -> None:
        if _speaks_for_all():
            announce(app.settings, await board(app).read(app.clock.now()))

    app.before_serving(look)


def board(app: Tillgate) -> FactBoard:
    """What this process last read of the facts."""
    return cast("FactBoard", app.extensions["fact_board"])


def _speaks_for_all() -> bool:
    """Of several processes of one `serve` only the first says how things are."""
    return multiprocessing.parent_process() is None or multiprocessing.current_process().name.endswith("-1")


def announce(settings: Settings, facts: list[Fact]) -> None:
    """All facts in one screen of log: a block to read, or one line for a machine."""
    bad = sum(fact.level > Level.OK for fact in facts)
    if settings.production:
        tell = log.warning if bad else log.info
        tell("health at the start", wrong=bad, facts=[_as_json(fact) for fact in facts])
    else:
        log.info(f"health at the start, {bad} of {len(facts)} need a look\n{screen(facts)}")  # noqa: G004 - a block


@health.get("/health/live")
async def live() -> Response:
    """This process answers; asks nobody else."""
    return jsonify(status="live")


@health.get("/health/ready")
async def ready() -> tuple[Response, int]:
    """Whether this process can serve: the database answers and is migrated. Yes or no; the rest is the operator's."""
    if await find_problem(shop().database) is not None:
        return jsonify(status="not ready"), HTTPStatus.SERVICE_UNAVAILABLE
    return jsonify(status="ready"), HTTPStatus.OK


def _as_json(fact: Fact) -> dict[str, Any]:
    return {
        "name": fact.name,
        "level": fact.level.name.lower(),
        "words": fact.words,
        "value": fact.value,
        "since": fact.since.isoformat() if fact.since else None,
    }


@health.get("/operator")
async def operator() -> ResponseReturnValue:
    """Everything the operator should know, the worst first, each with what to do about it; as JSON where asked for."""
    await require_operator()
    facts = await board(shop()).facts(now())
    if wants_json():
        return jsonify(facts=[_as_json(fact) for fact in facts])
    return await render_template(
        "operator/health.html",
        facts=facts,
        levels=Level,
        asked_at=now(),
        worst=max((fact.level for fact in facts), default=Level.OK),
    )


async def worker_alarm() -> str | None:
    """What the office says above its pages while no worker is alive; None while one is (peers: Hi.Events 270, 506)."""
    if g.get("failed"):
        return None  # the page about an error asks the database nothing more
    fact = await worker_fact(db_session(), now())
    return fact.words if fact.level is Level.ALARM else None


async def find_problem(database: Database) -> str | None:
    """Why requests cannot be served, or None."""
    try:
        async with asyncio.timeout(SECONDS), database.engine.connect() as connection:
            return (
                None if await migrate.at_head(connection) else "The database is not migrated to this version."
            )
    except (SQLAlchemyError, OSError) as error:  # a time-out is an OSError
        log.warning("database does not answer", error=str(error))
        return "The database does not answer."
