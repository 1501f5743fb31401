"""The door code of a ticket as a QR code. Used by the ticket's page."""

import segno


def qr_image(code: str) -> str:
    """A `data:` address of an SVG; error correction M: it is read from scratched screens and creased paper.

    The light modules and the quiet zone of four (ISO/IEC 18004) are part of the picture: on a dark card, or where the
    browser forces colours, what lies behind it is not white.
    """
    image: str = segno.make(code, error="m", micro=False).svg_data_uri(
        scale=8, border=4, dark="#000", light="#fff"
    )
    return image
