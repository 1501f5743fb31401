"""The demo's pages, events and ticket types, as data; seed.py writes them. Prices in minor units."""

from dataclasses import dataclass

from shared.contracts.states import EntryState


@dataclass(frozen=True, slots=True)
class SeedType:
    """A ticket type. `taken`: tickets that are gone already; only for free ones."""

    name: str
    cost: int | None = None
    text: str = ""
    capacity: int | None = None
    taken: int = 0
    opens_in_days: int | None = None
    min_per_order: int = 1
    max_per_order: int = 8
    max_per_user: int | None = None
    hold_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class SeedEntry:
    """An event, `days` from today at `hour` in the page's time zone."""

    slug: str
    title: str
    days: int
    hour: float
    place: str
    text: str
    types: tuple[SeedType, ...]
    hours: float = 3
    capacity: int | None = None
    max_per_user: int | None = None
    ticket_price: int | None = None
    picture: str = ""
    state: EntryState = EntryState.CONFIRMED


@dataclass(frozen=True, slots=True)
class SeedPage:
    """An organizer's page."""

    slug: str
    name: str
    text: str
    currency: str
    time_zone: str
    accent: str
    hold_minutes: int
    entries: tuple[SeedEntry, ...]
    delayed_methods: bool = False
    refund_hours: int | None = None
    own_account: bool = False
    """Whether its money goes to a Stripe account of its own, where the demo has a second one."""


KUPPELSAAL = SeedPage(
    slug="kuppelsaal",
    name="Kuppelsaal",
    text="Chamber music, jazz and long evenings under the old observatory's dome. 280 seats, none of them bad.",
    currency="EUR",
    time_zone="Europe/Vienna",
    accent="#8a3b12",
    hold_minutes=30,
    delayed_methods=True,  # so that all four test payments can be tried: the stand-in's direct debit takes euros
    entries=(
        SeedEntry(
            slug="late-quartets",
            title="Late Quartets",
            days=6,
            hour=19.5,
            hours=2.5,
            place="Kuppelsaal, Sternwartestraße 9, Vienna",
            picture="quartets.svg",
            capacity=280,
            max_per_user=8,
            text="Beethoven's last three quartets in one evening, played from memory by the Linde Quartet.\n\n"
            "Doors open at 18:45. There is one interval, and the bar pours what the interval deserves.",
            types=(
                SeedType("Parquet", 4200, "Rows 1 to 12, numbered at the door", 160),
                SeedType("Gallery", 2900, "Free choice of seats", 120),
                SeedType(
                    "Student",
                    1200,
                    "With a valid card, shown at the door",
                    30,
                    max_per_order=2,
                    max_per_user=2,
                ),
            ),
        ),
        SeedEntry(
            slug="dome-by-night",
            title="The Dome by Night",
            days=9,
            hour=21,
            hours=2,
            place="Old Observatory, Sternwartestraße 9, Vienna",
            picture="dome.svg",
            capacity=6,
            text="Six people, one telescope from 1883, and Dr. Resch, who has looked through it for thirty years.\n\n"
            "We go up whatever the weather: when it is cloudy, we open the instrument instead.",
            types=(SeedType("Place at the telescope", 5500, hold_minutes=10, max_per_order=2),),
        ),
        SeedEntry(
            slug="open-rehearsal",
            title="Open Rehearsal: Winterreise",
            days=4,
            hour=11,
            hours=1.5,
            place="Kuppelsaal, Sternwartestraße 9, Vienna",
            picture="winter.svg",
            capacity=24,
            text="Sit between the singer and the piano while they argue about the Lindenbaum. Free, and always full.",
            types=(SeedType("Free place", 0, capacity=24, taken=24, max_per_order=2),),
        ),
        SeedEntry(
            slug="new-years-matinee",
            title="New Year's Matinée",
            days=41,
            hour=11,
            hours=2,
            place="Kuppelsaal, Sternwartestraße 9, Vienna",
            picture="matinee.svg",
            capacity=280,
            text="Waltzes for people who say they do not like waltzes. The sale opens to everybody at the same minute.",
            types=(
                SeedType("Parquet", 6800, capacity=160, opens_in_days=5, max_per_order=4),
                SeedType("Gallery", 4400, capacity=120, opens_in_days=5, max_per_order=4),
            ),
        ),
        SeedEntry(
            slug="brass-in-the-yard",
            title="Brass in the Yard",
            days=-8,
            hour=18,
            place="Observatory yard, Vienna",
            text="Eleven players, one courtyard, no chairs.",
            types=(SeedType("Standing", 0, capacity=60, taken=37),),
        ),
        SeedEntry(
            slug="spring-season",
            title="Spring Season Opening",
            days=110,
            hour=19.5,
            place="Kuppelsaal, Sternwartestraße 9, Vienna",
            text="To be announced.",
            types=(SeedType("Parquet", 4800, capacity=160),),
            state=EntryState.DRAFT,
        ),
    ),
)

KISSA = SeedPage(
    slug="kissa-hatoba",
    name="Kissa Hatoba",
    text="A listening bar above the canal. Records, tea, and a stage the size of a table for six.",
    currency="JPY",
    refund_hours=48,  # tickets can be given back until two days before
    time_zone="Asia/Tokyo",
    accent="#1f5f5b",
    hold_minutes=20,
    entries=(
        SeedEntry(
            slug="side-b",
            title="Side B: Deep Listening Night",
            days=3,
            hour=20,
            place="Kissa Hatoba, Kiyosumi, Tokyo",
            picture="side-b.svg",
            capacity=32,
            ticket_price=2800,
            text="One record, both sides, no talking. Tonight: a live recording from 1976, pressed 300 times.",
            types=(
                SeedType("Seat", text="One drink included"),
                SeedType("Seat with supper", 5200, "Curry rice at seven, before the music", 12),
            ),
        ),
        SeedEntry(
            slug="tea-and-tape",
            title="Tea and Tape",
            days=12,
            hour=15,
            hours=2,
            place="Kissa Hatoba, Kiyosumi, Tokyo",
            picture="tape.svg",
            capacity=10,
            text="Bring a cassette. We play one song from each, and you tell us who made it for you.",
            types=(
                SeedType("Single", 1800, capacity=10),
                SeedType("Pair", 1600, "Per person, two together", min_per_order=2, max_per_order=2),
            ),
        ),
        SeedEntry(
            slug="canal-boat-trio",
            title="Trio on the Canal Boat",
            days=20,
            hour=17.5,
            hours=2,
            place="Pier 3, Kiyosumi, Tokyo",
            picture="boat.svg",
            text="Double bass, vibraphone and brushes, at four knots. The bass gets the best seat.",
            capacity=40,
            types=(
                SeedType("On deck", 6500, capacity=28),
                SeedType("Below deck", 4500, "Dry if it rains", 12),
            ),
        ),
        SeedEntry(
            slug="typhoon-session",
            title="Typhoon Session",
            days=2,
            hour=19,
            place="Kissa Hatoba, Kiyosumi, Tokyo",
            text="Called off: the band's ferry does not run.",
            capacity=32,
            types=(SeedType("Seat", 3000),),
            state=EntryState.CANCELLED,
        ),
    ),
)

DHOW = SeedPage(
    slug="dhow-yard",
    name="Dhow Yard",
    text="Workshops and open-air cinema in a restored boatyard on the Gulf.",
    currency="KWD",
    own_account=True,
    time_zone="Asia/Kuwait",
    accent="#3b4f8f",
    hold_minutes=30,
    entries=(
        SeedEntry(
            slug="cinema-under-sail",
            title="Cinema under Sail",
            days=5,
            hour=19,
            place="Dhow Yard, Salmiya, Kuwait City",
            picture="sail.svg",
            capacity=150,
            text="A silent film on a lateen sail, with oud and percussion played live beneath it.\n\nBring a jacket.",
            types=(
                SeedType("Cushion", 4750, "In front, on the carpet", 60),
                SeedType("Chair", 3500, capacity=80),
                SeedType("Under twelve", 0, "With a grown-up", 40, max_per_order=4),
            ),
        ),
        SeedEntry(
            slug="knots-for-beginners",
            title="Knots for Beginners",
            days=8,
            hour=16,
            hours=2,
            place="Sail loft, Dhow Yard, Kuwait City",
            picture="knots.svg",
            capacity=8,
            text="Eight knots in two hours, one of them useful for life. Rope is included and goes home with you.",
            types=(SeedType("Place", 12250, max_per_order=2),),
        ),
        SeedEntry(
            slug="harbour-walk",
            title="Harbour Walk at Dawn",
            days=7,
            hour=5.5,
            hours=1.5,
            place="Meeting point: yard gate, Kuwait City",
            text="With a marine biologist and a thermos. Free; please give your place back if you oversleep.",
            types=(SeedType("Walker", 0, capacity=20, taken=9, max_per_order=4),),
        ),
    ),
)

PAGES = (KUPPELSAAL, KISSA, DHOW)
