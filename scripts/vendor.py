#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "click==8.5.1",
#   "fonttools==4.68.0",
#   "structlog-config==0.15.0",
# ]
# ///
"""Copy the browser libraries and fonts the pages use from node_modules to static/vendor (spec: G2).

Run by the Makefile after `npm ci`.
"""

import shutil
from pathlib import Path

import click
import structlog
import structlog_config
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"

FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "@fontsource-variable/instrument-sans/files/instrument-sans-latin-wght-normal.woff2": "sans-latin.woff2",
    "@fontsource-variable/instrument-sans/files/instrument-sans-latin-ext-wght-normal.woff2": "sans-latin-ext.woff2",
    # headings have one weight: the variable face is twice as large
    "@fontsource/besley/files/besley-latin-600-normal.woff2": "heading-latin.woff2",
    "@fontsource/besley/files/besley-latin-ext-600-normal.woff2": "heading-latin-ext.woff2",
    # the licences travel with what they cover
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "@fontsource-variable/instrument-sans/LICENSE": "sans.LICENSE.txt",
    "@fontsource/besley/LICENSE": "display.LICENSE.txt",
    "@fontsource/noto-sans/LICENSE": "pdf.LICENSE.txt",
    "@fontsource/noto-emoji/LICENSE": "pdf-emoji.LICENSE.txt",
    "@fontsource/nanum-gothic/LICENSE": "pdf-korean.LICENSE.txt",
    "@fontsource/lxgw-wenkai/LICENSE": "pdf-han.LICENSE.txt",
}

NOTO = ("latin", "latin-ext", "greek", "greek-ext", "cyrillic", "cyrillic-ext", "vietnamese", "devanagari")
PDF_FONTS = {
    **{f"noto-sans/files/noto-sans-{script}-400-normal.woff": script for script in NOTO},
    "noto-sans-hebrew/files/noto-sans-hebrew-hebrew-400-normal.woff": "hebrew",
    "noto-sans-arabic/files/noto-sans-arabic-arabic-400-normal.woff": "arabic",
    "noto-sans-math/files/noto-sans-math-latin-400-normal.woff": "symbols",
    "noto-sans-thai/files/noto-sans-thai-thai-400-normal.woff": "thai",
    "noto-emoji/files/noto-emoji-emoji-400-normal.woff": "emoji",
    "nanum-gothic/files/nanum-gothic-korean-400-normal.woff": "korean",
    "lxgw-wenkai/files/lxgw-wenkai-latin-500-normal.woff": "han",
}
"""Used by shared/pdf_fonts.py. Unpacked once, here: a text that is shaped would unpack its font again each time."""

log = structlog.get_logger()


@click.command(help=__doc__)
def main() -> None:
    structlog_config.configure_logger()
    sources = [*FILES, *(f"@fontsource/{name}" for name in PDF_FONTS)]
    missing = [name for name in sources if not (ROOT / "node_modules" / name).is_file()]
    if missing:
        raise click.ClickException(f"node_modules has no {missing[0]}: run `npm ci` first.")
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name, target in FILES.items():
        shutil.copyfile(ROOT / "node_modules" / name, VENDOR / target)
    for name, script in PDF_FONTS.items():
        unpack(ROOT / "node_modules" / "@fontsource" / name, VENDOR / f"pdf-{script}.ttf")
    log.info("browser libraries copied", files=len(sources))


def unpack(woff: Path, target: Path) -> None:
    """The same font without its compression."""
    with TTFont(woff, lazy=True) as font:
        font.flavor = None
        font.save(target, reorderTables=None)


if __name__ == "__main__":
    main()
