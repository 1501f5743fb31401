"""Any accent a page may choose stays readable, in light and dark; what cannot is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import colour
from shared.settings import ROOT

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")
PAPERS = {"light": (colour.LIGHT_PAPER, colour.LIGHT_CARD), "dark": (colour.DARK_PAPER, colour.DARK_CARD)}


def _tokens() -> tuple[dict[str, str], dict[str, str]]:
    css = (ROOT / "static/css/tokens.css").read_text()
    light, dark = css.split("@media (prefers-color-scheme: dark)")
    return tuple(dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in (light, dark))  # type: ignore[return-value]


def _notice(card: str, tone: str) -> str:
    """The ground of a notice: 9 % of its tone in the card, as parts.css mixes it."""
    pairs = zip(bytes.fromhex(card[1:]), bytes.fromhex(tone[1:]), strict=True)
    return "#" + "".join(f"{round(0.91 * a + 0.09 * b):02x}" for a, b in pairs)


GROUNDS_OF_TEXT = {
    scheme: [token[ground] for ground in ("paper", "card", "well")]
    + [_notice(token["card"], token[tone]) for tone in ("ok", "info", "warn", "error")]
    for scheme, token in zip(("light", "dark"), _tokens(), strict=True)
}


def test_contrast_of_known_pairs() -> None:
    assert colour.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert colour.contrast("#ffffff", "#ffffff") == pytest.approx(1)
    assert colour.contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@given(COLOURS)
def test_some_ink_can_be_read_on_any_colour(background: str) -> None:
    assert colour.contrast(colour.ink_on(background), background) >= 4.5


@given(COLOURS)
def test_an_accent_is_readable_everywhere_or_refused(accent: str) -> None:
    try:
        css = colour.accent_css(accent)
    except colour.UnusableColour:
        assert colour.contrast(accent, colour.LIGHT_PAPER) < 3
        return
    for scheme, part in zip(("light", "dark"), css.splitlines(), strict=True):
        fill, ink, text = re.findall(r"#[0-9a-f]{6}", part)
        assert colour.contrast(fill, ink) >= 4.5
        for ground in PAPERS[scheme]:
            assert colour.contrast(fill, ground) >= 3
        for ground in GROUNDS_OF_TEXT[scheme]:
            assert colour.contrast(text, ground) >= 4.5


@pytest.mark.parametrize(
    "text", ["", "red", "#fff", "#ffffff", "#f4d35e", "#12345g", "#8a3b12;", "#8a3b12\n}"]
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(colour.UnusableColour):
        colour.usable_accent(text)


def test_tokens_know_the_same_papers() -> None:
    light, dark = _tokens()
    assert (light["paper"], light["card"]) == PAPERS["light"]
    assert (dark["paper"], dark["card"]) == PAPERS["dark"]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_tokens_keep_contrast(scheme: int) -> None:
    """AA: text 4.5 on every ground it stands on, borders of fields 3."""
    token = _tokens()[scheme]
    for ground in ("paper", "card", "well"):
        for text in ("ink", "muted", "accent-text", "ok", "info", "warn", "error"):
            assert colour.contrast(token[text], token[ground]) >= 4.5, (text, ground)
        assert colour.contrast(token["edge"], token[ground]) >= 3, ("edge", ground)
    assert colour.contrast(token["accent-ink"], token["accent"]) >= 4.5
