"""What is measured, one function for each line or group of lines of the table; used by __main__."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.claims import claims
from tests.bench.figures import Figure, Scale
from tests.bench.files import files
from tests.bench.house import CONCERT, HOST, RUSH, RUSH_TICKETS, House, cpu_seconds
from tests.bench.load import ask

CONNECTIONS = 16
BUYERS_AT_ONCE = 16
RUSH_BUYERS, RUSH_AT_ONCE = 300, 32
COLD_SECONDS = 1.1  # the catalogue keeps a page for a second
COUNTED_PAGES, COUNTED_PURCHASES = 5, 20
READY_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one page: requests per second, and what one costs its process, which a busy machine changes less."""

    per_second: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"{self.per_second:.0f}/s, {self.cpu_ms:.2f} ms CPU"


def first_page(house: House) -> Iterator[Figure]:
    """From the start of `serve` to the first page, the start of Python included."""
    started = time.monotonic()
    house.start_shop()
    while not _answers(f"http://{HOST}:{house.ports['shop']}{CONCERT}"):
        house.supervisor.check()
        if time.monotonic() - started > READY_SECONDS:
            raise TimeoutError("the shop did not answer")
        time.sleep(0.01)
    seconds = time.monotonic() - started
    yield Figure("first page after serve", f"{seconds:.2f} s", "<= 2 s", seconds <= 2)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=READY_SECONDS):  # noqa: S310 - our own address on loopback
            return True
    except (URLError, ConnectionError):
        return False


def pages(house: House, scale: Scale) -> Iterator[Figure]:
    """The event's page beside hello, turn by turn, so that both see the same machine."""
    visitors = [""] * CONNECTIONS
    buyers = house.buyers(CONNECTIONS)

    def speed(part: str, path: str, cookies: list[str]) -> Speed:
        task = {"port": house.ports[part], "path": path, "cookies": cookies, "seconds": scale.seconds}
        before = cpu_seconds(house.processes[part])
        result = ask({"kind": "read_page", **task})
        used = cpu_seconds(house.processes[part]) - before
        return Speed(result["per_second"], used * 1000 / result["number"])

    rows = [
        (speed("hello", "/", visitors), speed("shop", CONCERT, visitors), speed("shop", CONCERT, buyers))
        for _ in range(scale.rounds)
    ]
    hello, visitor, buyer = (
        Speed(median(one.per_second for one in column), median(one.cpu_ms for one in column))
        for column in zip(*rows, strict=True)
    )
    ratio = median(row[1].per_second / row[0].per_second for row in rows)
    signed_in = median(row[2].per_second / row[0].per_second for row in rows)
    yield Figure("hello, bare Quart", f"{hello}")
    yield Figure("event page, visitor", f"{visitor}")
    yield Figure("  of hello", f"{ratio:.2f}", ">= 0.50", ratio >= 0.5)
    yield Figure("event page, signed in", f"{buyer}")
    yield Figure("  of hello", f"{signed_in:.2f}")


def statements(house: House) -> Iterator[Figure]:
    """Counted by the server: of pages with nothing kept, and of purchases by new buyers, then by the same again."""
    for who, cookies in (("visitor", [""]), ("signed in", house.buyers(1))):
        with house.counting() as counted:
            for _ in range(COUNTED_PAGES):
                _read_once(house, cookies)
                time.sleep(COLD_SECONDS)
        each = counted[0].statements / COUNTED_PAGES
        around = counted[0].transaction_words / COUNTED_PAGES
        yield Figure(
            f"statements, event page, {who}", f"{each:.1f} + {around:.1f} begin/commit", "<= 3", each <= 3
        )
    buyers = house.buyers(COUNTED_PURCHASES)
    for who in ("first", "second"):
        with house.counting() as counted:
            sell(house, CONCERT, buyers, at_once=1)
            wait_until_quiet(house)
        each = counted[0].statements / COUNTED_PURCHASES
        around = counted[0].transaction_words / COUNTED_PURCHASES
        yield Figure(
            f"statements, {who} purchase", f"{each:.1f} + {around:.1f} begin/commit", "<= 30", each <= 30
        )


def _read_once(house: House, cookies: list[str]) -> None:
    ask({"kind": "read_page", "port": house.ports["shop"], "path": CONCERT, "cookies": cookies, "seconds": 0})


def purchases(house: House, scale: Scale) -> Iterator[Figure]:
    """Complete purchases of two tickets, each by a buyer seen for the first time, and what each part spends on them."""
    buyers = house.buyers(scale.purchases)
    before = house.cpu()
    result = sell(house, CONCERT, buyers, at_once=BUYERS_AT_ONCE)
    wait_until_quiet(house)
    used = {name: (after - before[name]) * 1000 / len(buyers) for name, after in house.cpu().items()}
    rate, each = result["bought"] / result["took"], result["each"]
    yield Figure("purchases, 16 buyers at once", f"{rate:.1f}/s", ">= 25/s", rate >= 25)
    yield Figure("  one purchase", f"{median(each):.2f} s, slowest {each[-1]:.2f} s")
    yield Figure("  CPU of the shop", f"{used['shop']:.1f} ms", "<= 35 ms", used["shop"] <= 35)
    for name in ("worker", "database", "stand-in"):
        yield Figure(f"  CPU of the {name}", f"{used[name]:.1f} ms")


def rush(house: House) -> Iterator[Figure]:
    """300 buyers, 32 at a time, for 100 tickets."""
    result = sell(house, RUSH, house.buyers(RUSH_BUYERS), at_once=RUSH_AT_ONCE)
    wait_until_quiet(house)
    held = house.query(
        "SELECT count(*) FROM tickets t JOIN entries e ON e.id = t.entry_id"
        " WHERE e.slug = 'rush' AND t.state = 'confirmed'"
    )
    pool = house.query(
        "SELECT allocated FROM pools p JOIN entries e ON e.pool_id = p.id WHERE e.slug = 'rush'"
    )
    rate = result["bought"] / result["took"]
    exact = result["bought"] == held == pool == RUSH_TICKETS
    told = RUSH_BUYERS - RUSH_TICKETS
    yield Figure("rush, 32 at a time", f"{rate:.1f} tickets/s", ">= 25/s", rate >= 25)
    yield Figure("  sold", f"{result['bought']}, pool {pool}", f"{RUSH_TICKETS}", exact)
    yield Figure("  told it is sold out", f"{result['told']}", f"{told}", result["told"] == told)


def memory(house: House) -> Iterator[Figure]:
    """Resident memory after all that."""
    yield from memory_of(house, "shop", 150)
    yield from memory_of(house, "worker", None)


def memory_of(house: House, name: str, aim: int | None) -> Iterator[Figure]:
    """Resident memory of one part; `aim` in MB."""
    size = house.processes[name].memory_info().rss / 1e6
    met = None if aim is None else size < aim
    yield Figure(f"memory of the {name}", f"{size:.0f} MB", f"< {aim} MB" if aim else "", met)


def sell(house: House, href: str, buyers: list[str], *, at_once: int) -> dict[str, float | list[float]]:
    """Have these buyers buy at an event."""
    return ask(
        {
            "kind": "sell",
            "port": house.ports["shop"],
            "stripe_port": house.ports["stand-in"],
            "href": href,
            "forms": house.forms[href],
            "cookies": buyers,
            "at_once": at_once,
        }
    )


def wait_until_quiet(house: House) -> None:
    """Until every paid order's webhook is carried out and every mail is sent."""
    until = time.monotonic() + READY_SECONDS
    while not house.query(
        "SELECT (SELECT count(*) FROM webhook_events WHERE processed_at IS NOT NULL) >="
        " (SELECT count(*) FROM payments)"
        " AND NOT EXISTS (SELECT FROM outgoing_mail WHERE sent_at IS NULL)"
    ):
        if time.monotonic() > until:
            raise TimeoutError("webhooks or mails did not come through")
        time.sleep(0.1)


def file_alone(house: House, scale: Scale) -> Iterator[Figure]:
    """The large file on a shop that does nothing else."""
    yield from first_page(house)
    yield from files(house, scale)
    yield from memory_of(house, "shop", None)


def all_figures(house: House, scale: Scale) -> Iterator[Figure]:
    """Every line, in the order in which they are measured."""
    yield from first_page(house)
    house.start_parts()
    sell(house, CONCERT, house.buyers(50), at_once=BUYERS_AT_ONCE)  # so that every part is warm
    steps: tuple[Callable[[], Iterator[Figure]], ...] = (
        lambda: pages(house, scale),
        lambda: statements(house),
        lambda: purchases(house, scale),
        lambda: rush(house),
        lambda: files(house, scale),
        lambda: memory(house),
        lambda: claims(house, scale),
    )
    for step in steps:
        yield from step()
