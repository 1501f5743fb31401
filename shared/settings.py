"""Frozen settings from the environment; a missing or wrong value stops the start and names the variable (spec: G1, L4).

What each variable may mean is in setting_types.py; pydantic reads them all and tells of all that are wrong at once.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from shared.setting_types import (
    ApiBase,
    DatabaseUrl,
    HostAndPort,
    MailFrom,
    Operators,
    Origins,
    ProxyCount,
    PublicUrl,
    SecretKey,
    SmtpUrl,
    StripeKey,
    WebhookSecrets,
    is_loopback,
    why_weak,
)

ROOT = Path(__file__).resolve().parent.parent
PUBLIC_SECRET = "not-secret"  # noqa: S105 - in every key of this repository: production refuses those
KNOWN_SECRET = f"development-only-{PUBLIC_SECRET}-0000"
ELSEWHERE = {  # values for a machine of one's own; production has none of them
    "SECRET_KEY": KNOWN_SECRET,
    "PUBLIC_URL": "http://127.0.0.1:8000",
    "SMTP_URL": "smtp://127.0.0.1:8025",
    "MAIL_FROM": "Tillgate <tickets@tillgate.example>",
}
EVERYWHERE = {
    "TILLGATE_ENV": "production",
    "TILLGATE_VAR": str(ROOT / "var"),
    "STRIPE_CHECKOUT_ORIGINS": "https://checkout.stripe.com",
}
NEEDED = ("SECRET_KEY", "PUBLIC_URL", "DATABASE_URL", "STRIPE_SECRET_KEY", "SMTP_URL", "MAIL_FROM")
PAIR = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")


class SettingsError(Exception):
    """A line for each variable: its name and what is wrong with it. Never a secret's value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be configured. `from_env` is the only way in; tests use `dataclasses.replace`."""

    environment: Annotated[Literal["production", "development", "test"], Field(alias="TILLGATE_ENV")]
    secret_key: Annotated[SecretKey, Field(alias="SECRET_KEY")] = field(repr=False)
    public_url: Annotated[PublicUrl, Field(alias="PUBLIC_URL")]
    """Scheme and host the world sees, no trailing slash: links in mails and return addresses start with it."""
    var_dir: Annotated[Path, Field(alias="TILLGATE_VAR")]
    smtp_url: Annotated[SmtpUrl, Field(alias="SMTP_URL")] = field(repr=False)
    mail_from: Annotated[MailFrom, Field(alias="MAIL_FROM")]
    stripe_checkout_origins: Annotated[Origins, Field(alias="STRIPE_CHECKOUT_ORIGINS")]
    """Origins a form may lead to (Content-Security-Policy form-action): Stripe's hosted page."""
    database_url: Annotated[DatabaseUrl | None, Field(alias="DATABASE_URL")] = field(default=None, repr=False)
    """None = embedded PostgreSQL under `var_dir`."""
    stripe_secret_key: Annotated[StripeKey, Field(alias="STRIPE_SECRET_KEY")] = field(default="", repr=False)
    stripe_webhook_secrets: Annotated[WebhookSecrets, Field(alias="STRIPE_WEBHOOK_SECRET")] = field(
        default=(), repr=False
    )
    stripe_api_base: Annotated[ApiBase | None, Field(alias="STRIPE_API_BASE")] = None
    """None = Stripe itself; the demo and the tests point it at the stand-in."""
    trusted_proxies: Annotated[ProxyCount, Field(alias="TRUSTED_PROXIES")] = 0
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(alias="LOG_LEVEL")] = "INFO"
    operators: Annotated[Operators, Field(alias="OPERATORS")] = ()
    """Normalised addresses of those who may see everything at /operator."""
    metrics_bind: Annotated[HostAndPort | None, Field(alias="METRICS_BIND")] = None
    """Where this process shows its metrics; None = nowhere."""

    @property
    def production(self) -> bool:
        """Whether real buyers are served."""
        return self.environment == "production"

    @property
    def secure_cookies(self) -> bool:
        """Cookies are for https only wherever the shop's own address is https."""
        return self.public_url.startswith("https://")

    @property
    def mail_address(self) -> str:
        """The bare address of `mail_from`."""
        return parseaddr(self.mail_from)[1]

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the environment; an empty value is none. Raises SettingsError with a line for each wrong variable."""
        named = {name: text.strip() for name, text in (os.environ if env is None else env).items()}
        given = EVERYWHERE | {name: text for name, text in named.items() if name in variables() and text}
        strict = given["TILLGATE_ENV"] == "production"
        if not strict:
            given = ELSEWHERE | given
        if problem := _missing(given, strict):
            raise SettingsError(problem)
        try:
            settings = _reader().validate_python(given)
        except ValidationError as error:
            raise SettingsError("\n".join(_lines(error))) from None  # pydantic's own text shows the values
        if settings.production and (problems := list(_unfit_for_production(settings))):
            raise SettingsError("\n".join(problems))
        return settings


@cache
def variables() -> frozenset[str]:
    """Names of all environment variables that are read."""
    parts = (part for hint in Settings.__annotations__.values() for part in hint.__metadata__)
    return frozenset(part.alias for part in parts if isinstance(part, FieldInfo) and part.alias)


@cache
def _reader() -> "TypeAdapter[Settings]":
    return TypeAdapter(Settings)


def _missing(given: Mapping[str, str], strict: bool) -> str:
    absent = [name for name in PAIR if name not in given]
    if len(absent) == 1:
        other = next(name for name in PAIR if name in given)
        return f"{absent[0]} is not set, but {other} is: they belong together."
    missing = [name for name in NEEDED if strict and name not in given]
    return "\n".join(f"{name} is not set." for name in missing)


def _lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        name = problem["loc"][0]
        context: dict[str, Any] = problem.get("ctx", {})
        if problem["type"] == "literal_error":
            yield f"{name} is {problem['input']!r}, but must be one of: {context['expected']}."
        else:
            yield f"{name} {context['error']}"


def _unfit_for_production(settings: Settings) -> Iterator[str]:
    """What development may do and real buyers must not meet (spec: L4)."""
    if PUBLIC_SECRET in settings.secret_key:
        yield "SECRET_KEY is the one of the repository, which everybody knows: make one of your own."
    elif weakness := why_weak(settings.secret_key):
        yield f"SECRET_KEY {weakness}: take 32 or more random characters, such as `openssl rand -base64 32` prints."
    addresses = {
        "PUBLIC_URL": [settings.public_url],
        "STRIPE_API_BASE": [settings.stripe_api_base] if settings.stripe_api_base else [],
        "STRIPE_CHECKOUT_ORIGINS": settings.stripe_checkout_origins,
    }
    for name, urls in addresses.items():
        for url in urls:
            if not url.startswith("https://") and not is_loopback(urlsplit(url).hostname or ""):
                yield f"{name} must start with https:// in production."
