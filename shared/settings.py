"""Frozen settings from the environment; a missing or wrong value stops the start and names the variable (spec: G1)."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent


class SettingsError(Exception):
    """One line that names the variable and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that can be configured. `from_env` is the only way in; tests use `dataclasses.replace`."""

    environment: str
    """production | development | test"""
    secret_key: str
    public_url: str
    """Scheme and host the world sees, no trailing slash: links in mails and return addresses start with it."""
    database_url: str | None
    """None = embedded PostgreSQL under `var_dir`."""
    var_dir: Path
    stripe_secret_key: str
    stripe_webhook_secrets: tuple[str, ...]
    stripe_api_base: str | None
    """None = Stripe itself; the demo and the tests point it at the stand-in."""
    stripe_checkout_origins: tuple[str, ...]
    """Origins a form may lead to (Content-Security-Policy form-action): Stripe's hosted page."""
    smtp_url: str
    mail_from: str
    trusted_proxies: int
    log_level: str
    operators: tuple[str, ...]
    """Normalised addresses of those who may see everything at /operator."""
    metrics_bind: tuple[str, int] | None
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
        """Read the environment. Raises SettingsError with one line for the first variable that is wrong."""
        read = _Reader(os.environ if env is None else env)
        environment = read.one_of("TILLGATE_ENV", ("production", "development", "test"), "production")
        strict = environment == "production"
        api_base = read.text("STRIPE_API_BASE", None)
        secret, webhook = read.text("STRIPE_SECRET_KEY", None), read.text("STRIPE_WEBHOOK_SECRET", None)
        if (secret is None) != (webhook is None):
            missing, given = (
                ("STRIPE_WEBHOOK_SECRET", "STRIPE_SECRET_KEY")
                if webhook is None
                else ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET")
            )
            raise SettingsError(f"{missing} is not set, but {given} is: they belong together.")
        return cls(
            environment=environment,
            secret_key=read.secret("SECRET_KEY", None if strict else "development-only-not-secret-0000"),
            public_url=read.url("PUBLIC_URL", None if strict else "http://127.0.0.1:8000", strict=strict),
            database_url=read.database("DATABASE_URL", required=strict),
            var_dir=Path(read.text("TILLGATE_VAR", None) or ROOT / "var"),
            stripe_secret_key=secret if secret is not None else read.missing("STRIPE_SECRET_KEY", strict),
            stripe_webhook_secrets=tuple(part.strip() for part in (webhook or "").split(",") if part.strip()),
            stripe_api_base=api_base,
            stripe_checkout_origins=tuple(
                (read.text("STRIPE_CHECKOUT_ORIGINS", None) or "https://checkout.stripe.com").split(",")
            ),
            smtp_url=read.required("SMTP_URL", None if strict else "smtp://127.0.0.1:8025"),
            mail_from=read.required("MAIL_FROM", None if strict else "Tillgate <tickets@tillgate.example>"),
            trusted_proxies=read.number("TRUSTED_PROXIES", 0),
            log_level=read.one_of("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
            operators=read.addresses("OPERATORS"),
            metrics_bind=read.host_and_port("METRICS_BIND"),
        )


class _Reader:
    """Reads one variable at a time and says plainly what is wrong with it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def text(self, name: str, default: str | None) -> str | None:
        value = self._env.get(name, "").strip()
        return value or default

    def required(self, name: str, default: str | None) -> str:
        value = self.text(name, default)
        if value is None:
            raise SettingsError(f"{name} is not set.")
        return value

    def missing(self, name: str, strict: bool) -> str:
        if strict:
            raise SettingsError(f"{name} is not set.")
        return ""

    def secret(self, name: str, default: str | None) -> str:
        value = self.required(name, default)
        if len(value) < 32:
            raise SettingsError(f"{name} is too short: it needs at least 32 characters.")
        return value

    def one_of(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self.text(name, default) or default
        if value not in choices:
            raise SettingsError(f"{name} is {value!r}, but must be one of: {', '.join(choices)}.")
        return value

    def number(self, name: str, default: int) -> int:
        value = self.text(name, str(default)) or ""
        if not re.fullmatch(r"\d{1,4}", value):
            raise SettingsError(f"{name} is {value!r}, but must be a whole number, 0 or more.")
        return int(value)

    def addresses(self, name: str) -> tuple[str, ...]:
        from shared.identity.users import InvalidEmail, normalise_email  # here: most commands need no users

        listed = [part for part in (self.text(name, None) or "").split(",") if part.strip()]
        try:
            return tuple(normalise_email(part) for part in listed)
        except InvalidEmail:
            raise SettingsError(f"{name} must be e-mail addresses, separated by commas.") from None

    def host_and_port(self, name: str) -> tuple[str, int] | None:
        value = self.text(name, None)
        if value is None:
            return None
        host, _, port = value.rpartition(":")
        if not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
            raise SettingsError(f"{name} is {value!r}, but must be like 127.0.0.1:9100.")
        return host.strip("[]"), int(port)

    def url(self, name: str, default: str | None, *, strict: bool) -> str:
        value = self.required(name, default).rstrip("/")
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query:
            raise SettingsError(f"{name} is {value!r}, but must be like https://tickets.example.org.")
        if strict and parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise SettingsError(f"{name} must start with https:// in production.")
        return value

    def database(self, name: str, *, required: bool) -> str | None:
        value = self.text(name, None)
        if value is None:
            if required:
                raise SettingsError(f"{name} is not set.")
            return None
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
            raise SettingsError(f"{name} must start with postgresql://.")
        return f"postgresql+asyncpg://{rest}"
