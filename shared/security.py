"""Trust at the edge: where unsafe requests may come from, the headers of every answer, who the client is."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from quart import Response, request

from shared.access import KEEPABLE_ENDPOINTS, ORIGIN_EXEMPT_ENDPOINTS
from shared.errors import Forbidden
from shared.settings import Settings
from shared.web import SAFE_METHODS, Tillgate, shop

YEAR = 365 * 24 * 60 * 60
WEEK = 7 * 24 * 60 * 60


class ForeignOrigin(Forbidden):
    """This request did not come from our own pages, so nothing was done. Please try again in the shop."""

    code = "FOREIGN_ORIGIN"


def init_app(app: Tillgate) -> None:
    """Register the origin check, the headers and the caching rules; header values are made once, here."""
    origin, headers = origin_of(app.settings.public_url), security_headers(app.settings)

    async def refuse_strangers() -> None:
        if request.method in SAFE_METHODS or request.endpoint in ORIGIN_EXEMPT_ENDPOINTS:
            return
        if request.headers.get("Origin") != origin and request.headers.get("Sec-Fetch-Site") != "same-origin":
            raise ForeignOrigin

    async def add_headers(response: Response) -> Response:
        response.headers.extend(headers)
        _set_caching(response)
        return response

    # the session cookie carries flashed messages
    app.config.update(
        SESSION_COOKIE_SECURE=app.settings.secure_cookies,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
    )
    app.before_request(refuse_strangers)
    app.after_request(add_headers)


def origin_of(url: str) -> str:
    """The origin as browsers write it: lower case, without the scheme's own port."""
    parts = urlsplit(url.lower())
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    return f"{parts.scheme}://{host}{port}"


def security_headers(settings: Settings) -> list[tuple[str, str]]:
    """What every answer carries. No inline script or style; forms may lead on to Stripe's hosted page."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        # browsers apply this to the redirect that answers a POST
        "form-action": " ".join(("'self'", *settings.stripe_checkout_origins)),
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    headers = [
        ("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in policy.items())),
        ("Referrer-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ]
    if settings.secure_cookies:
        headers.append(("Strict-Transport-Security", f"max-age={YEAR}"))
    return headers


def _set_caching(response: Response) -> None:
    """A route's own Cache-Control stands. Pages are not stored; the shop window may wait for the back button."""
    if request.endpoint == "static" and response.status_code in (200, 304):
        response.headers["Cache-Control"] = _static_caching(response)
    elif "Cache-Control" not in response.headers:
        keep = request.endpoint in KEEPABLE_ENDPOINTS
        response.headers["Cache-Control"] = "private, no-cache" if keep else "private, no-store"


def _static_caching(response: Response) -> str:
    """For good only under the fingerprint of what is sent: while a new version starts, an old process answers too."""
    mark = request.args.get("v")
    if mark and mark in (response.get_etag()[0] or ""):
        return f"public, max-age={YEAR}, immutable"
    if mark is None and request.path.startswith("/static/vendor/"):
        return f"public, max-age={WEEK}"
    return "public, no-cache"


def _is_near(peer: str) -> bool:
    """Whether the peer can be a proxy of ours: a stranger comes from a public address, whatever headers they write."""
    try:
        return not ip_address(peer).is_global
    except ValueError:
        return True  # a unix socket


def client_address() -> str:
    """The client's address. Of X-Forwarded-For only the entry that our outermost trusted proxy wrote is read.

    `TRUSTED_PROXIES` says how many there are; with none the header is the client's own writing.
    """
    peer = request.remote_addr or "unknown"
    trusted = shop().settings.trusted_proxies
    if trusted == 0:
        if "X-Forwarded-For" in request.headers and _is_near(peer):
            shop().untold_proxy = True
        return peer
    entries = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
    if len(entries) < trusted:
        return peer
    try:
        return str(ip_address(entries[-trusted].strip()))
    except ValueError:
        return peer
