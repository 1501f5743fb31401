"""Configuration: what is missing or wrong stops the start with one line that names it (spec: G1)."""

import os
import subprocess
import sys

import pytest

from shared.settings import ROOT, Settings, SettingsError

PRODUCTION = {
    "TILLGATE_ENV": "production",
    "SECRET_KEY": "x" * 40,
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
    """A value that cannot be meant is refused by name."""
    with pytest.raises(SettingsError, match=f"^{name} "):
        Settings.from_env({**PRODUCTION, name: value})


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
