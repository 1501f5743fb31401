"""What people type, made one spelling before anything reads it (spec: L7). Used by web_body.py for forms and queries.

Full-width digits and letters, ligatures and spaces of all kinds become the plain ones (NFKC), what can't be seen goes:
a copied e-mail, code or amount means what it shows. Free text keeps its own characters (NFC), since NFKC would turn
½ to 1/2 in a note or a title, and keeps the joiners that Persian names and emoji are written with.
"""

import re
import unicodedata

import idna

FREE_TEXT = frozenset({"note", "title", "place"})
"""Names of the fields that hold words for people; all others hold what is compared or counted."""

# Unicode's Default_Ignorable_Code_Point, without what the next one names
_NEVER_SEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff0-\ufffb]"
)
_JOINS = re.compile("[\u200c\u200d\ufe00-\ufe0f\U000e0000-\U000e0fff]")


def free(text: str) -> str:
    """Words for people: composed, trimmed, nothing in it that hides or turns round what stands there."""
    return unicodedata.normalize("NFC", _NEVER_SEEN.sub("", text)).strip()


def compared(text: str) -> str:
    """What is compared, looked up or counted: compatible characters made one, and nothing that can't be seen."""
    return free(unicodedata.normalize("NFKC", _JOINS.sub("", text)))


def field(name: str, value: str) -> str:
    """The value of a form's or a query's field."""
    return free(value) if name in FREE_TEXT else compared(value)


def shown_address(email: str) -> str:
    """An address as its owner writes it: anna@xn--mller-kva.de is anna@müller.de."""
    local, at, domain = email.rpartition("@")
    if "xn--" not in domain:
        return email  # almost every one, a thousand times in a file
    try:
        return f"{local}{at}{idna.decode(domain)}"
    except idna.IDNAError:
        return email


def stored_address(part: str) -> str:
    """A part of an address in the spelling that addresses are stored in, to search by it; others as they are."""
    local, at, domain = part.lower().rpartition("@")
    return f"{local}{at}{'.'.join(_ascii_label(label) for label in domain.split('.'))}"


def _ascii_label(label: str) -> str:
    try:
        return label if label.isascii() else idna.encode(label, uts46=True).decode("ascii")
    except idna.IDNAError:
        return label
