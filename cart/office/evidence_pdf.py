"""The evidence pack as a PDF, in whatever scripts it is written."""

from typing import Any

from shared.pdf_fonts import Paper

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
    """What `evidence.evidence` gathered, on A4. A character that no font of ours has is a box."""
    paper = Paper()
    order = evidence["order"]
    paper.write(f"Order {order['number']}", LARGE)
    paper.write(f"Evidence of {evidence['seller']}, made {_said(evidence['made_at'])}", SMALL)
    _facts(paper, order)
    for part, heading in HEADINGS.items():
        if evidence[part]:
            paper.pdf.ln(4)
            paper.write(heading, MIDDLE)
            for row in evidence[part]:
                _facts(paper, row)
    return paper.finished()


def _facts(paper: Paper, facts: dict[str, Any]) -> None:
    """Name and value of each fact on a line of its own; what is not known is left out."""
    paper.pdf.ln(1.5)
    for name, value in facts.items():
        if value is not None:
            words = WORDS.get(name, name.replace("_", " ").capitalize())
            is_time = name == "at" or name.endswith("_at")
            _fact(paper, words, _said(value) if is_time else str(value))


def _fact(paper: Paper, words: str, value: str) -> None:
    """A name in its column, and the value beside it over as many lines as it takes."""
    pdf = paper.pdf
    if pdf.will_page_break(SMALL):
        pdf.add_page()  # else the name would stay behind on the old one
    top, margin = pdf.get_y(), pdf.l_margin
    pdf.set_text_color(*MUTED)
    paper.write(words, SMALL)
    pdf.set_text_color(0)
    pdf.set_xy(margin + COLUMN, top)
    paper.write(value, SMALL)


def _said(moment: str) -> str:
    """2026-11-21T04:05:06+00:00 as people read it."""
    return f"{moment[:10]} {moment[11:19]} UTC"
