"""Configuration: what is missing or wrong stops the start with one line that names it (spec: G1)."""

import os
import subprocess
import sys

import pytest

from shared.settings import KNOWN_SECRET, ROOT, Settings, SettingsError

SECRET = "0c4MRrF5lEgvNqvQ2b8hYw7KxJtUaPzS"
PRODUCTION = {
    "TILLGATE_ENV": "production",
    "SECRET_KEY": SECRET,
    "PUBLIC_URL": "https://tickets.example.org",
    "DATABASE_URL": "postgresql://shop@db.example.org/shop",
    "STRIPE_SECRET_KEY": "sk_live_x",
    "STRIPE_WEBHOOK_SECRET": "whsec_a, whsec_b",
    "SMTP_URL": "smtp://mail.example.org",
    "MAIL_FROM": "Shop <shop@example.org>",
}


def without(*names: str) -> dict[str, str]:
    """A complete production environment except for these."""
    return {name: value for name, value in PRODUCTION.items() if name not in names}


def test_complete() -> None:
    """All set: accepted; several webhook secrets are a list."""
    settings = Settings.from_env(PRODUCTION)
    assert settings.production
    assert settings.secure_cookies
    assert settings.stripe_webhook_secrets == ("whsec_a", "whsec_b")
    assert settings.database_url == "postgresql+asyncpg://shop@db.example.org/shop"


def test_nothing_set_is_production() -> None:
    """Forgetting everything does not start a shop with development's secrets."""
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        Settings.from_env({})


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "TILLGATE_ENV"])
def test_each_missing_value_is_named(name: str) -> None:
    """In production nothing has a default."""
    with pytest.raises(SettingsError, match=rf"^{name} is not set") as refused:
        Settings.from_env(without(name))
    assert "\n" not in str(refused.value)


def test_both_stripe_values_missing() -> None:
    """Then the key is named."""
    with pytest.raises(SettingsError, match=r"^STRIPE_SECRET_KEY is not set"):
        Settings.from_env(without("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"))


@pytest.mark.parametrize("environment", ["production", "development"])
@pytest.mark.parametrize("missing", ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"])
def test_half_a_pair(environment: str, missing: str) -> None:
    """A secret key without its webhook secret would take money and never hear of it: refused everywhere."""
    with pytest.raises(SettingsError, match=f"^{missing} is not set, but STRIPE_"):
        Settings.from_env({**without(missing), "TILLGATE_ENV": environment})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TILLGATE_ENV", "staging"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", KNOWN_SECRET),
        ("SECRET_KEY", KNOWN_SECRET + "0"),
        ("SECRET_KEY", "a" * 40),
        ("SECRET_KEY", "abcdefghijklmnop" * 2),
        ("SECRET_KEY", f"sk_live_{SECRET}"),
        ("STRIPE_SECRET_KEY", "pk_live_x"),
        ("STRIPE_SECRET_KEY", "sk_org_live_x"),
        ("STRIPE_SECRET_KEY", "whsec_x"),
        ("STRIPE_SECRET_KEY", "sk_live_…"),
        ("STRIPE_WEBHOOK_SECRET", ","),
        ("STRIPE_WEBHOOK_SECRET", "whsec_a,sk_live_x"),
        ("STRIPE_CHECKOUT_ORIGINS", "https://a; script-src *"),
        ("STRIPE_CHECKOUT_ORIGINS", "https://a.example,"),
        ("STRIPE_CHECKOUT_ORIGINS", "http://a.example"),
        ("STRIPE_API_BASE", "http://api.example.org"),
        ("STRIPE_API_BASE", "127.0.0.1:8002"),
        ("PUBLIC_URL", "https://user:pw@tickets.example.org"),
        ("PUBLIC_URL", "https://tickets.example.org:99999"),
        ("PUBLIC_URL", "https://tickets.example.org:port"),
        ("PUBLIC_URL", "https://tickets.example.org?x"),
        ("PUBLIC_URL", "https://[::1"),
        ("DATABASE_URL", "postgresql://db.example.org:99999/shop"),
        ("DATABASE_URL", "postgresql://db.example.org"),
        ("DATABASE_URL", "postgresql://db.example.org/shop?pool=3"),
        ("SMTP_URL", "mail.example.org"),
        ("SMTP_URL", "http://mail.example.org"),
        ("SMTP_URL", "smtp://"),
        ("SMTP_URL", "smtp://mail.example.org:smtp"),
        ("MAIL_FROM", "Shop"),
        ("MAIL_FROM", "Shop <shop@example.org>\nBcc: all@example.org"),
        ("METRICS_BIND", "9100"),
        ("METRICS_BIND", "127.0.0.1:99999"),
        ("OPERATORS", "boss"),
        ("TRUSTED_PROXIES", "１"),
        ("PUBLIC_URL", "tickets.example.org"),
        ("PUBLIC_URL", "http://tickets.example.org"),
        ("PUBLIC_URL", "https://tickets.example.org/shop"),
        ("DATABASE_URL", "mysql://x"),
        ("TRUSTED_PROXIES", "-1"),
        ("TRUSTED_PROXIES", "two"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_wrong_values(name: str, value: str) -> None:
    """A value that cannot be meant is refused by name (spec: L4)."""
    with pytest.raises(SettingsError, match=f"^{name} ") as refused:
        Settings.from_env({**PRODUCTION, name: value})
    assert str(refused.value).count("\n") == 0, "one variable is wrong"


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "DATABASE_URL", "SMTP_URL"]
)
def test_no_secret_is_ever_shown(name: str) -> None:
    """Not by the refusal of a wrong value, nor by the settings' own repr (spec: L4)."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**PRODUCTION, name: "hush"})
    assert "hush" not in str(refused.value)
    database = {"DATABASE_URL": "postgresql://shop:hush@db/shop", "SMTP_URL": "smtp://shop:hush@mail"}
    shown = repr(Settings.from_env({**PRODUCTION, **database}))
    for secret in ("hush", SECRET, "sk_live", "whsec"):
        assert secret not in shown


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Who sets up a shop mends it in one go (spec: L4)."""
    wrong = {"LOG_LEVEL": "LOUD", "TRUSTED_PROXIES": "two", "MAIL_FROM": "Shop"}
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**PRODUCTION, **wrong})
    assert {line.split()[0] for line in str(refused.value).splitlines()} == set(wrong)


def test_the_database_of_a_host_that_speaks_libpq() -> None:
    """`sslmode`, as most hosts hand it out, is `ssl` to our driver."""
    settings = Settings.from_env(
        {**PRODUCTION, "DATABASE_URL": "postgres://a:b@db:6432/shop?sslmode=require"}
    )
    assert settings.database_url == "postgresql+asyncpg://a:b@db:6432/shop?ssl=require"


@pytest.mark.parametrize("bind", ["8000", "127.0.0.1:99999", "127.0.0.1:http"])
def test_wrong_bind(bind: str) -> None:
    """An address that cannot be listened at is wrong usage, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "shared", "serve", "--bind", bind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--bind" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "migrate", "seed"])
def test_one_line_on_the_terminal(command: str) -> None:
    """Every command says it in one line and ends with status 2."""
    ours = {name: value for name, value in os.environ.items() if name not in PRODUCTION}
    done = subprocess.run(
        [sys.executable, "-m", "shared", command],
        cwd=ROOT,
        env={**ours, **without("SECRET_KEY")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "tillgate: SECRET_KEY is not set.\n")


def test_development_leaves_the_address_to_serve() -> None:
    """A shop at another --bind must be its own public address, else it refuses its own forms (spec: G1)."""
    shown = subprocess.run(
        ["/bin/sh", "-c", ". env/not_production.sh; echo ${TILLGATE_ENV}:${PUBLIC_URL-}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "development:\n"
