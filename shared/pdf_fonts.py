"""Text of many scripts in a PDF: each font is read when the first text needs it, and what none has is a box.

Used by whatever draws a PDF with fpdf2. The fonts are copied to static/vendor at set-up (scripts/vendor.py).
"""

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shared.settings import ROOT

if TYPE_CHECKING:
    from fpdf import FPDF

FIRST = "latin"
"""It writes whatever it has letters for; the others only what it lacks."""
SIMPLE = ("latin-ext", "greek", "greek-ext", "cyrillic", "cyrillic-ext", "vietnamese")
"""One shape for each letter, from left to right."""
SHAPED = ("hebrew", "arabic", "devanagari", "thai", "emoji")
"""Letters change with their neighbours, or run from right to left: HarfBuzz works it out."""
LAST = ("symbols", "korean", "han")
"""Simple too, but large; and what they have of other scripts is better where it belongs."""
FONTS = (FIRST, *SIMPLE, *SHAPED, *LAST)
"""In this order a letter is looked for."""
BOX = "\u25a1"
"""In place of a character that no font has."""
LEADING = 0.5
"""mm from line to line for each point of size."""


class Paper:
    """A PDF with the fonts of what is written on it."""

    def __init__(self) -> None:
        self.pdf = _empty_pdf()
        self._add(FIRST)

    def write(self, text: str, size: int) -> None:
        """Text from the cursor on, over as many lines as it takes, each paragraph in its own direction."""
        left = self.pdf.get_x()
        for paragraph in text.expandtabs(4).splitlines() or [""]:
            self.pdf.set_x(left)
            self._write(paragraph, size)

    def finished(self) -> bytes:
        """The file. Nothing more can be written."""
        from fpdf.fonts import TTFFont

        made = bytes(self.pdf.output())
        for font in self.pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.close()
        return made

    def _write(self, paragraph: str, size: int) -> None:
        pdf, (fitting, needed) = self.pdf, fitted(paragraph)
        for name in needed:
            self._add(name)
        pdf.set_font(FIRST, size=size)
        _name_font(pdf)
        pdf.set_fallback_fonts(needed)
        # it takes a library and some time, which a text in Latin need not pay
        pdf.set_text_shaping(not set(needed).isdisjoint(SHAPED))
        align = "R" if _from_right_to_left(fitting) else "L"
        pdf.multi_cell(0, size * LEADING, fitting, align=align, new_x="LMARGIN", new_y="NEXT")

    def _add(self, name: str) -> None:
        if name not in self.pdf.fonts:
            self.pdf.add_font(name, fname=_file(name))


def _empty_pdf() -> "FPDF":
    from fpdf import FPDF  # here: it takes a third of a second, which no start of the shop should pay

    class A4(FPDF):
        def header(self) -> None:
            if self.font_family:
                _name_font(self)

    pdf = A4(format="A4")
    pdf.set_auto_page_break(auto=True, margin=18)
    pdf.add_page()
    return pdf


def _name_font(pdf: "FPDF") -> None:
    """Else fpdf2 names it in the first line, and if that has two fonts, in brackets (q … Q) that take it back."""
    if not pdf.current_font_is_set_on_page:
        pdf.text(0, 0, "")


def fitted(text: str) -> tuple[str, list[str]]:
    """The text with a box for each character that no font has, and the fonts that it needs besides the first."""
    if _letters(FIRST).issuperset(map(ord, text)):
        return text, []
    needed: set[str] = set()
    fitting = []
    for char in unicodedata.normalize("NFC", text):
        # a joiner stays in the font of what it joins
        font = _font_of(char, FONTS if _is_seen(char) else sorted(needed))
        if font or _is_seen(char):
            fitting.append(char if font else BOX)
            needed.add(font or _font_of(BOX, FONTS) or FIRST)
    return "".join(fitting), [name for name in FONTS[1:] if name in needed]


def _font_of(char: str, names: Iterable[str]) -> str | None:
    return next((name for name in names if ord(char) in _letters(name)), None)


@cache
def _letters(name: str) -> frozenset[int]:
    """What a font has a shape for; read once, and only where no font before it had what was looked for."""
    from fontTools.ttLib import TTFont  # here: no start of the shop should pay for it

    with TTFont(_file(name), lazy=True) as font:
        return frozenset(font.getBestCmap())


def _file(name: str) -> Path:
    return ROOT / "static" / "vendor" / f"pdf-{name}.ttf"


def _is_seen(char: str) -> bool:
    """False for joiners, marks of direction and the like, which are nothing without what they work upon."""
    return unicodedata.category(char) != "Cf" and not "\ufe00" <= char <= "\ufe0f"


def _from_right_to_left(paragraph: str) -> bool:
    """What its first letter says (Unicode UAX 9, P2)."""
    directions = (unicodedata.bidirectional(char) for char in paragraph)
    return next((one for one in directions if one in {"L", "R", "AL"}), "L") != "L"
