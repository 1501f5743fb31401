"""Accents that stay readable: WCAG contrast, the ink to put on a colour, and a page's accent as a small stylesheet.

Pure functions, except `init_app`, which serves `/accent/<hex>.css`: a page's accent can be neither an inline style (the
policy forbids those) nor a file. The colour is in the address, so the answer never changes and is kept for a year.
"""

import re
from functools import lru_cache

from shared.errors import NotFound
from shared.web import Tillgate

TEXT_CONTRAST = 4.5  # WCAG 2.2, 1.4.3: text
SHAPE_CONTRAST = 3.0  # WCAG 2.2, 1.4.11: buttons and other shapes one has to find

# The papers and cards of tokens.css, and what else links stand on: wells, tinted notices. A test holds them together.
LIGHT_PAPER, LIGHT_CARD, LIGHT_WELL = "#f6f0e4", "#fffcf5", "#ece3d2"
DARK_PAPER, DARK_CARD, DARK_NOTICE = "#191512", "#241f1a", "#362d20"

INKS = ("#ffffff", "#211a16", "#000000")  # in order of preference; one of them always reaches 4.5
STEP = 0.04  # how far one try moves a colour towards black or white

_HEX = re.compile(r"#[0-9a-f]{6}")


class UnusableColour(ValueError):
    """This colour cannot be told from the paper. Please choose a darker one."""


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two colours such as #7a3b12, from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(background: str) -> str:
    """The text colour to put on `background`, with at least 4.5 contrast."""
    return next(ink for ink in INKS if contrast(ink, background) >= TEXT_CONTRAST)


def usable_accent(text: str) -> str:
    """`text` as a lower-case accent. Raises UnusableColour for what is no colour or fades into the light paper."""
    colour = text.strip().lower()
    if not _HEX.fullmatch(colour):
        raise UnusableColour("A colour looks like #8a3b12.")
    if min(contrast(colour, LIGHT_PAPER), contrast(colour, LIGHT_CARD)) < SHAPE_CONTRAST:
        raise UnusableColour(UnusableColour.__doc__)
    return colour


@lru_cache(maxsize=512)
def accent_css(accent: str) -> str:
    """The stylesheet that sets a page's accent, for light and dark. Raises UnusableColour as `usable_accent` does."""
    colour = usable_accent(accent)
    dark = _moved_until(colour, "#ffffff", SHAPE_CONTRAST, (DARK_PAPER, DARK_CARD))
    light_text = _moved_until(colour, "#000000", TEXT_CONTRAST, (LIGHT_WELL,))
    dark_text = _moved_until(colour, "#ffffff", TEXT_CONTRAST, (DARK_NOTICE,))
    return (
        f":root{{{_variables(colour, light_text)}}}\n"
        f"@media (prefers-color-scheme: dark){{:root{{{_variables(dark, dark_text)}}}}}\n"
    )


def _variables(fill: str, text: str) -> str:
    return f"--accent:{fill};--accent-ink:{ink_on(fill)};--accent-text:{text}"


def _moved_until(colour: str, towards: str, wanted: float, grounds: tuple[str, ...]) -> str:
    part = 0.0
    moved = colour
    while min(contrast(moved, ground) for ground in grounds) < wanted:
        part += STEP
        moved = _mix(colour, towards, part)
    return moved


def _mix(colour: str, other: str, part: float) -> str:
    mixed = (
        round(a + (b - a) * min(part, 1.0)) for a, b in zip(_channels(colour), _channels(other), strict=True)
    )
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    # the sRGB curve, with the threshold of the WCAG definition
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def init_app(app: Tillgate) -> None:
    """Serve a page's accent: GET /accent/<hex>.css, public."""
    app.add_url_rule("/accent/<colour>.css", "accent", _accent)


async def _accent(colour: str) -> tuple[str, int, dict[str, str]]:
    try:
        body = accent_css(f"#{colour}")
    except UnusableColour as error:
        raise NotFound from error
    return body, 200, {"Content-Type": "text/css", "Cache-Control": "public, max-age=31536000, immutable"}
