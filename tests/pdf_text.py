"""What somebody finds who copies the text out of a PDF."""

from io import BytesIO

from pypdf import PdfReader


def read_back(made: bytes) -> str:
    """The text of all its pages, line by line."""
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(made)).pages)
