"""What the variables of settings.py may be: each is parsed to what it means, or refused in words (spec: L4).

A ValueError's text follows the variable's name: "PUBLIC_URL is 'x', but must be …". Secrets are never repeated.
"""

import re
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BeforeValidator

SHORTEST_SECRET = 32  # characters
FEWEST_DISTINCT = 12
"""Of 32 random characters of base64 fewer than 12 distinct ones come once in 10^9 times; of a held-down key always."""
MOST_PROXIES = 16
HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
STRIPE_KEY = re.compile(r"(sk|rk)_(live|test)_[A-Za-z0-9_]+")
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]+")
OTHER_SECRETS = re.compile(r"(sk|rk|pk|sk_org)_(live|test)_|whsec_|postgres(ql)?://|smtps?://")
DRIVERS = ("postgres", "postgresql", "postgresql+asyncpg")
DATABASE_OPTIONS = frozenset({"host", "port", "ssl"})


def is_loopback(host: str) -> bool:
    """Whether this is the machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def why_weak(secret: str) -> str:
    """Why a secret can be guessed, as the end of a sentence; empty where nothing speaks against it."""
    if len(set(secret)) < FEWEST_DISTINCT:
        return "has too few different characters"
    if secret in (secret + secret)[1:-1]:
        return "repeats itself"
    return ""


def _secret_key(value: str) -> str:
    if OTHER_SECRETS.match(value):
        raise ValueError("holds a key of another service: is it in the wrong variable?")
    if len(value) < SHORTEST_SECRET:
        raise ValueError(f"is too short: it needs at least {SHORTEST_SECRET} characters.")
    return value


def _stripe_key(value: str) -> str:
    if value.startswith("pk_"):
        raise ValueError("is a publishable key (pk_…), but must be the secret one: sk_live_… or rk_live_….")
    if value.startswith("sk_org_"):
        raise ValueError("is an organization's key, but must be an account's: sk_live_… or rk_live_….")
    if value.startswith("whsec_"):
        raise ValueError("is a webhook's signing secret (whsec_…): is it in the wrong variable?")
    if not STRIPE_KEY.fullmatch(value):
        raise ValueError("must be a secret key of Stripe: sk_live_…, rk_live_…, or sk_test_… to try things.")
    return value


def _webhook_secrets(value: str) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in value.split(",") if part.strip())
    if not secrets:
        raise ValueError("names no secret: it must be like whsec_…, several separated by commas.")
    if not all(WEBHOOK_SECRET.fullmatch(secret) for secret in secrets):
        raise ValueError(
            "must be signing secrets of Stripe's webhooks, each like whsec_…, separated by commas."
        )
    return secrets


def _split(value: str, *, like: str, schemes: tuple[str, ...] = ("http", "https")) -> SplitResult:
    """The parts of an address with a host and a possible port."""
    wrong = ValueError(f"is {value!r}, but must be like {like}.")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise wrong from None
    host = parts.hostname or ""
    if parts.scheme not in schemes or port == 0 or not (HOST.fullmatch(host) or _is_address(host)):
        raise wrong
    return parts


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _origin(value: str, *, like: str) -> str:
    """Scheme, host and port, nothing else."""
    if "@" in value:
        raise ValueError(f"must not hold a user or a password: it must be like {like}.")
    parts = _split(value, like=like)
    origin = f"{parts.scheme}://{parts.netloc}"
    if value.rstrip("/") != origin:
        raise ValueError(f"is {value!r}, but must be like {like}, without anything before or after it.")
    return origin


def _public_url(value: str) -> str:
    return _origin(value, like="https://tickets.example.org")


def _api_base(value: str) -> str:
    return _origin(value, like="http://127.0.0.1:8002")


def _origins(value: str) -> tuple[str, ...]:
    return tuple(_origin(part.strip(), like="https://checkout.stripe.com") for part in value.split(","))


def _database_url(value: str) -> str:
    """As SQLAlchemy wants it; libpq's `sslmode` becomes the driver's `ssl`."""
    like = "must be like postgresql://user:password@db.example.org/tillgate"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(f"{like}; its host or port cannot be read.") from None
    if parts.scheme not in DRIVERS or port == 0:
        raise ValueError(f"{like}; it must start with postgresql://.")
    if not parts.path.strip("/"):
        raise ValueError(f"{like}; it names no database.")
    options = [("ssl" if name == "sslmode" else name, text) for name, text in parse_qsl(parts.query)]
    if unknown := {name for name, _ in options} - DATABASE_OPTIONS:
        raise ValueError(f"has the option {min(unknown)!r}, but only sslmode, host and port can be given.")
    return urlunsplit(("postgresql+asyncpg", parts.netloc, parts.path, urlencode(options, safe="/"), ""))


def _smtp_url(value: str) -> str:
    like = "must be like smtp://user:password@mail.example.org:587 or smtps://…"
    try:
        _split(value, like=like, schemes=("smtp", "smtps"))
    except ValueError:
        raise ValueError(f"{like}.") from None  # the value may hold a password
    return value


def _mail_from(value: str) -> str:
    address = parseaddr(value)[1]
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or not value.isprintable():
        raise ValueError(f"is {value!r}, but must be like Tickets <tickets@example.org>.")
    return value


def _proxy_count(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,2}", value) or int(value) > MOST_PROXIES:
        raise ValueError(f"is {value!r}, but must be a whole number from 0 to {MOST_PROXIES}.")
    return int(value)


def _operators(value: str) -> tuple[str, ...]:
    from shared.identity.users import InvalidEmail, normalise_email  # here: most commands need no users

    try:
        return tuple(normalise_email(part) for part in value.split(",") if part.strip())
    except InvalidEmail:
        raise ValueError("must be e-mail addresses, separated by commas.") from None


def host_and_port(value: str) -> tuple[str, int]:
    """An address to listen at. Raises ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"is {value!r}, but must be like 127.0.0.1:9100.")
    return host.strip("[]"), int(port)


SecretKey = Annotated[str, BeforeValidator(_secret_key)]
PublicUrl = Annotated[str, BeforeValidator(_public_url)]
DatabaseUrl = Annotated[str, BeforeValidator(_database_url)]
StripeKey = Annotated[str, BeforeValidator(_stripe_key)]
WebhookSecrets = Annotated[tuple[str, ...], BeforeValidator(_webhook_secrets)]
ApiBase = Annotated[str, BeforeValidator(_api_base)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_origins)]
SmtpUrl = Annotated[str, BeforeValidator(_smtp_url)]
MailFrom = Annotated[str, BeforeValidator(_mail_from)]
ProxyCount = Annotated[int, BeforeValidator(_proxy_count)]
Operators = Annotated[tuple[str, ...], BeforeValidator(_operators)]
HostAndPort = Annotated[tuple[str, int], BeforeValidator(host_and_port)]
