"""What people type becomes one spelling (spec: L7)."""

from shared.typed import compared, field, free, shown_address, stored_address


def test_what_is_compared_has_one_spelling() -> None:
    """Full-width digits, a soft hyphen, a zero-width space and marks of direction do not make another code."""
    assert compared(" ＡＢ\u200b１２\u00ad\u202e３\u00a0") == "AB123"
    assert compared("a\u0308") == "ä"


def test_free_text_keeps_its_characters() -> None:
    """A half stays a half and a family one emoji; what turns the text round goes."""
    assert free("½ Jahr \u202eevil") == "½ Jahr evil"
    assert free("👩\u200d👧") == "👩\u200d👧"
    assert (field("note", "½"), field("q", "½")) == ("½", "1⁄2")


def test_an_umlaut_domain_is_shown_as_typed() -> None:
    """One address in both spellings, for showing and for searching."""
    assert shown_address("anna@xn--mller-kva.de") == "anna@müller.de"
    assert shown_address("anna@example.org") == "anna@example.org"
    assert stored_address("Anna@Müller.de") == "anna@xn--mller-kva.de"
    assert (stored_address("müller"), stored_address("x@ü"), stored_address("ab-12")) == (
        "xn--mller-kva",
        "x@xn--tda",
        "ab-12",
    )
