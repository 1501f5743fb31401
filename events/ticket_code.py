"""The door code of a ticket as a QR code. Used by the ticket's page."""

import segno


def qr_image(code: str) -> str:
    """A `data:` address of an SVG; error correction M: it is read from scratched screens and creased paper."""
    image: str = segno.make(code, error="m", micro=False).svg_data_uri(scale=8, border=0, dark="#000")
    return image
