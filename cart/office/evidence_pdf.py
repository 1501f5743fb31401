"""The evidence pack as a PDF. Its fonts are copied to static/vendor at set-up (scripts/vendor.py)."""

from typing import TYPE_CHECKING, Any

from shared.settings import ROOT

if TYPE_CHECKING:
    from fpdf import FPDF

FONTS = ("latin", "latin-ext", "greek", "greek-ext", "cyrillic", "cyrillic-ext", "vietnamese")
HEADINGS = {
    "lines": "What was ordered",
    "payments": "Payments",
    "refunds": "Refunds",
    "disputes": "Disputes",
    "tickets": "Tickets",
    "mails": "Mails to the buyer",
    "history": "History",
}
WORDS = {"at": "When", "sent_at": "Sent", "made_at": "Made", "used_at_the_door_at": "Used at the door"}
LARGE, MIDDLE, SMALL = 18, 12, 9  # points
COLUMN, MUTED = 42, (102, 90, 79)  # mm; the muted ink of our mails


def render(evidence: dict[str, Any]) -> bytes:
    """What `evidence.evidence` gathered, on A4. Letters of every script we have a font for; any other is a box."""
    pdf = _paper()
    order = evidence["order"]
    _write(pdf, f"Order {order['number']}", LARGE)
    _write(pdf, f"Evidence of {evidence['seller']}, made {_said(evidence['made_at'])}", SMALL)
    _facts(pdf, order)
    for part, heading in HEADINGS.items():
        if evidence[part]:
            pdf.ln(4)
            _write(pdf, heading, MIDDLE)
            for row in evidence[part]:
                _facts(pdf, row)
    return bytes(pdf.output())


def _paper() -> "FPDF":
    from fpdf import FPDF  # here: it takes a third of a second, which no start of the shop should pay

    pdf = FPDF(format="A4")
    pdf.set_auto_page_break(auto=True, margin=18)
    for script in FONTS:
        pdf.add_font(script, fname=ROOT / "static" / "vendor" / f"pdf-{script}.woff")
    pdf.set_fallback_fonts(list(FONTS[1:]))
    pdf.add_page()
    return pdf


def _facts(pdf: "FPDF", facts: dict[str, Any]) -> None:
    """Name and value of each fact on a line of its own; what is not known is left out."""
    pdf.ln(1.5)
    for name, value in facts.items():
        if value is not None:
            words = WORDS.get(name, name.replace("_", " ").capitalize())
            is_time = name == "at" or name.endswith("_at")
            _fact(pdf, words, _said(value) if is_time else str(value))


def _fact(pdf: "FPDF", words: str, value: str) -> None:
    """A name in its column, and the value beside it over as many lines as it takes."""
    pdf.set_font(FONTS[0], size=SMALL)
    if pdf.will_page_break(SMALL):
        pdf.add_page()  # else the name would stay behind on the old one
    pdf.set_text_color(*MUTED)
    pdf.cell(COLUMN, SMALL * 0.5, words)
    pdf.set_text_color(0)
    pdf.multi_cell(0, SMALL * 0.5, value, new_x="LMARGIN", new_y="NEXT")


def _said(moment: str) -> str:
    """2026-11-21T04:05:06+00:00 as people read it."""
    return f"{moment[:10]} {moment[11:19]} UTC"


def _write(pdf: "FPDF", text: str, size: int) -> None:
    pdf.set_font(FONTS[0], size=size)
    pdf.multi_cell(0, size * 0.5, text, new_x="LMARGIN", new_y="NEXT")
