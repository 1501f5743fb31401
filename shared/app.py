"""create_app: the shell plus the named domains, each loaded by name and asked to register itself."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module

from shared.clock import Clock, SystemClock
from shared.database import Database
from shared.drawing import Drawing
from shared.health_facts import shared_facts
from shared.seldom import Seldom
from shared.services import Services
from shared.settings import ROOT, Settings
from shared.smtp import Smtp, send_due
from shared.web import Tillgate, init_web

CART_CHANGES, CART_PERIOD = 120, timedelta(minutes=1)


def create_app(
    settings: Settings,
    domains: Sequence[str] = ("events", "cart"),
    *,
    database: Database | None = None,
    clock: Clock | None = None,
    services: Services | None = None,
) -> Tillgate:
    """Build the app. `settings.database_url` must be set, or a `database` given; nothing is connected yet."""
    app = Tillgate("tillgate", root_path=str(ROOT), template_folder="templates", static_folder="static")
    # //cart is no address: the redirect to /cart would begin with whatever host the request names
    app.url_map.merge_slashes = False
    app.settings = settings
    app.clock = clock or SystemClock()
    app.services = services or Services()
    app.database = database or Database(settings.database_url or "")
    app.sweeps = {"mail": partial(send_due, app.database.sessions, Smtp(settings))}
    app.drawing = Drawing()
    app.cart_changes = Seldom(CART_CHANGES, CART_PERIOD)
    app.health_facts, app.figures = {"the shop": shared_facts}, {}
    app.secret_key = settings.secret_key
    app.config.update(TEMPLATES_AUTO_RELOAD=False)
    app.jinja_env.globals["public_url"] = settings.public_url
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    init_web(app)
    for part in (
        "shared.web_log",
        "shared.web_body",  # before all that may ask the database
        "shared.formats",
        "shared.colour",
        "shared.security",
        "shared.identity",
        "shared.health",
        "shared.setting_facts",
        "shared.payments",
    ):
        import_module(part).init_app(app)
    for domain in domains:
        import_module(domain).init_app(app)
    return app
