"""Prometheus metrics, shown on a port of their own (METRICS_BIND) by `serve` and by `worker`; no label names a person.

Of `serve --workers n` the parent shows what all its processes count: they cannot all listen on one port, and a scrape
that reaches one of them by chance would be wrong. They count in files of a folder that ends with the parent.
"""

import errno
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector

from shared.contracts.payment_errors import (
    AccountUnavailable,
    KeyRefused,
    PaymentsRefused,
    PaymentsUnavailable,
)
from shared.health_facts import Fact, Figures
from shared.settings import SettingsError

REGISTRY = CollectorRegistry()

REQUESTS = Histogram(
    "tillgate_request_seconds",
    "Requests answered by this shop, by endpoint and status.",
    ["endpoint", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
CLAIMS_REFUSED = Counter(
    "tillgate_claims_refused",
    "Checkouts that claimed no tickets, by the reason's code, such as SOLD_OUT.",
    ["code"],
    registry=REGISTRY,
)
STRIPE_CALLS = Histogram(
    "tillgate_stripe_call_seconds",
    "Calls to Stripe, by method and outcome: ok, refused, key_refused, account_closed, no_answer.",
    ["call", "outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
SWEEPS = Histogram(
    "tillgate_sweep_seconds",
    "Runs of the worker's sweeps, by outcome: ok, failed.",
    ["sweep", "outcome"],
    buckets=(0.01, 0.1, 1, 10, 60, 600),
    registry=REGISTRY,
)
FACT_LEVELS = Gauge(
    "tillgate_fact_level",
    "Facts of health: 0 well, 1 to be looked at, 2 alarm. /operator says each in words.",
    ["fact"],
    registry=REGISTRY,
)
FACT_VALUES = Gauge(
    "tillgate_fact_value",
    "The numbers behind the facts; the unit is in the name.",
    ["fact"],
    registry=REGISTRY,
)

DUE_ROWS = Gauge(
    "tillgate_due_rows", "Rows that wait for the worker, by their fact.", ["fact"], registry=REGISTRY
)


@contextmanager
def shown(bind: tuple[str, int] | None, *, processes: int = 1) -> Iterator[int | None]:
    """Show this process's metrics during the block, or those of all processes that it starts within.

    Yields the port. Raises SettingsError where it is taken.
    """
    if bind is None:
        yield None
        return
    with ExitStack() as at_the_end:
        registry = REGISTRY
        if processes > 1:
            folder = at_the_end.enter_context(TemporaryDirectory(prefix="tillgate-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the library looks in the new processes
            registry = CollectorRegistry()
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        host, port = bind
        try:
            server, _ = start_http_server(port, host, registry)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise SettingsError(
                f"METRICS_BIND: {host}:{port} is taken; shop and worker need a port each."
            ) from None
        at_the_end.callback(server.server_close)
        at_the_end.callback(server.shutdown)
        yield server.server_port


def request_done(endpoint: str | None, status: int, seconds: float) -> None:
    """Count one answer; an unknown address has no endpoint and is none of ours to name."""
    REQUESTS.labels(endpoint or "unknown", status).observe(seconds)


@contextmanager
def stripe_call(name: str) -> Iterator[None]:
    """Count one call to Stripe, its time and what became of it."""
    started, outcome = time.perf_counter(), "ok"
    try:
        yield
    except PaymentsRefused:
        outcome = "refused"
        raise
    except KeyRefused:
        outcome = "key_refused"
        raise
    except AccountUnavailable:
        outcome = "account_closed"
        raise
    except PaymentsUnavailable:
        outcome = "no_answer"
        raise
    finally:
        STRIPE_CALLS.labels(name, outcome).observe(time.perf_counter() - started)


def timed(name: str, sweep: Callable[[datetime], Awaitable[int]]) -> Callable[[datetime], Awaitable[int]]:
    """The sweep, with its runs and failures counted."""

    async def run(now: datetime) -> int:
        started, outcome = time.perf_counter(), "failed"
        try:
            handled = await sweep(now)
            outcome = "ok"
            return handled
        finally:
            SWEEPS.labels(name, outcome).observe(time.perf_counter() - started)

    return run


def show_facts(facts: list[Fact]) -> None:
    """Set the gauges of all facts; one that is no longer told is gone."""
    FACT_LEVELS.clear()
    FACT_VALUES.clear()
    DUE_ROWS.clear()
    for fact in facts:
        FACT_LEVELS.labels(fact.name).set(fact.level)
        if fact.value is not None:
            FACT_VALUES.labels(fact.name).set(fact.value)
        if fact.rows is not None:
            DUE_ROWS.labels(fact.name).set(fact.rows)


def show_figures(name: str, figures: Figures, numbers: Mapping[str, float]) -> None:
    """Set the gauge of one set of counts."""
    gauge = _gauge(f"tillgate_{name}", figures.help, figures.label)
    gauge.clear()
    for label, number in numbers.items():
        gauge.labels(label).set(number)


@cache
def _gauge(name: str, text: str, label: str) -> Gauge:
    return Gauge(name, text, [label], registry=REGISTRY)
