"""Text of every script in a PDF is there when it is read back; what no font has is a box."""

from collections import Counter
from io import BytesIO

import pytest
from pypdf import PdfReader

from shared.pdf_fonts import BOX, LEADING, Paper
from tests.pdf_text import read_back

SCRIPTS = {
    "latin": "Žižkov Đặng Ñandú",
    "greek": "Τρίτη ἀρχή",
    "cyrillic": "Пётр Ґалаґан",
    "hebrew": "קונצרט בירושלים",
    "arabic": "مساء الخير",
    "persian": "می‌خواهم بلیت",
    "hindi": "नमस्ते संगीत कार्यक्रम",
    "thai": "คอนเสิร์ตที่กรุงเทพฯ",
    "korean": "서울 음악회",
    "japanese": "東京の音楽会 タワー「夜」",
    "simplified": "北京音乐会，晚上八点",
    "traditional": "臺灣國家音樂廳",
    "symbols": "→ ✓ ★ ♥ ♫ ∞ ≤",
    "emoji": "🎭🎉 👍🏽 ❤️ 👨‍👩‍👧",
    "mixed": "Abend مساء und 音楽 и ночь 🎭",
}
INVISIBLE = "\u200c\u200d\ufe0f "


def written(text: str) -> Paper:
    """A page with this text on it."""
    paper = Paper()
    paper.write(text, 9)
    return paper


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_character_goes_missing(script: str) -> None:
    """They were dropped without a word: a name in Hebrew was an empty line."""
    text, found = SCRIPTS[script], Counter(read_back(written(SCRIPTS[script]).finished()))
    assert Counter(char for char in text if char not in INVISIBLE) <= found
    assert BOX not in found


def test_what_no_font_has_is_a_box() -> None:
    """One for each, so that somebody sees that something is missing, and how much. It costs no large font."""
    paper = written("a\U00010380b\x07c")
    assert read_back(paper.finished()) == f"a{BOX}b{BOX}c"
    assert set(paper.pdf.fonts) == {"latin", "symbols"}


def test_what_turns_text_round_is_not_drawn() -> None:
    """It is nothing that a reader could miss."""
    assert read_back(written("Ab\u202e\u200fend").finished()) == "Abend"


def test_arabic_letters_are_joined() -> None:
    """The same letter has three shapes at the beginning, in the middle and at the end of a word."""
    paper = written("ممم")
    glyphs = {glyph.glyph_name for glyph, _ in paper.pdf.fonts["arabic"].subset.items()}
    paper.finished()
    assert {f"uni0645{shape}" for shape in (".init", ".medi", ".fina")} <= glyphs


def test_each_paragraph_has_its_own_direction() -> None:
    """Hebrew begins at the right and its second word is left of the first; what comes after is at the left again."""
    places: list[tuple[str, float]] = []

    def note(text: str, _: object, matrix: list[float], *rest: object) -> None:
        if text.strip():
            places.append((text.strip(), matrix[4]))

    paper = written("שלום עולם\nHello")
    PdfReader(BytesIO(paper.finished())).pages[0].extract_text(visitor_text=note)
    assert [text for text, _ in places] == ["עולם", "שלום", "Hello"]
    assert places[0][1] > 500
    assert places[2][1] < 50


def test_a_paragraph_from_right_to_left_begins_in_its_first_line() -> None:
    """Its words are turned round line by line, not all at once."""
    lines = read_back(
        written(" ".join(letter * 9 for letter in "אבגדהוזחטיכלמנסעפצקרשת")).finished()
    ).splitlines()
    assert len(lines) == 2
    assert "א" in lines[0]
    assert "ת" in lines[1]


def test_a_text_in_latin_pays_for_nothing_else() -> None:
    """One font, and no shaping."""
    paper = written("Große Halle, “Café”")
    paper.finished()
    assert set(paper.pdf.fonts) == {"latin"}
    assert paper.pdf.text_shaping is None


@pytest.mark.parametrize("letter", ["x", "ю", "音", "م", "न"])
def test_a_name_of_200_letters_is_wrapped(letter: str) -> None:
    """None runs out of the page, and none is lost."""
    paper = written(letter * 200)
    assert paper.pdf.get_y() > paper.pdf.t_margin + 9 * LEADING, "more than one line"
    assert read_back(paper.finished()).count(letter) == 200


@pytest.mark.parametrize("first", [["first"], ["first", "second"]])
def test_a_page_that_begins_in_another_font_goes_on_in_the_first(first: list[str]) -> None:
    """The next lines were nothing that can be read: their font had been named where its own line alone knows it."""
    lines = ["x" * 100, "ю" * 20]  # one paragraph of two lines: a page ends between them
    paper = written("\n".join([*first, *[" ".join(lines)] * 60]))
    assert read_back(paper.finished()).split() == first + lines * 60
