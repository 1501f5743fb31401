"""Whether this process lives and whether it can serve: for load balancers and the demo's supervisor."""

import asyncio
from http import HTTPStatus

import structlog
from quart import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from shared import migrate
from shared.database import Database
from shared.web import Tillgate, shop

log = structlog.get_logger()
health = Blueprint("health", __name__)

SECONDS = 3.0  # a database that takes longer than this to answer is not ready


def init_app(app: Tillgate) -> None:
    """Register the two addresses, and look at the database once at the start."""
    app.register_blueprint(health)

    async def look() -> None:
        problem = await find_problem(app.database)
        if problem is not None:  # said, never fatal: the database may come up after us (spec: A6)
            log.warning("not ready yet", problem=problem)

    app.before_serving(look)


@health.get("/health/live")
async def live() -> Response:
    """This process answers; asks nobody else."""
    return jsonify(status="live")


@health.get("/health/ready")
async def ready() -> tuple[Response, int]:
    """The database answers and is migrated; 503 with the reason otherwise."""
    problem = await find_problem(shop().database)
    if problem is None:
        return jsonify(status="ready"), HTTPStatus.OK
    return jsonify(status="not ready", problem=problem), HTTPStatus.SERVICE_UNAVAILABLE


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
