#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "click==8.5.1",
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

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "static" / "vendor"

FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "@fontsource-variable/instrument-sans/files/instrument-sans-latin-wght-normal.woff2": "sans-latin.woff2",
    "@fontsource-variable/instrument-sans/files/instrument-sans-latin-ext-wght-normal.woff2": "sans-latin-ext.woff2",
    # headings have one weight: the variable face is twice as large
    "@fontsource/besley/files/besley-latin-600-normal.woff2": "heading-latin.woff2",
    "@fontsource/besley/files/besley-latin-ext-600-normal.woff2": "heading-latin-ext.woff2",
    # for PDFs, script by script: fpdf2 reads no woff2 without another package
    **{
        f"@fontsource/noto-sans/files/noto-sans-{script}-400-normal.woff": f"pdf-{script}.woff"
        for script in ("latin", "latin-ext", "greek", "greek-ext", "cyrillic", "cyrillic-ext", "vietnamese")
    },
    # the licences travel with what they cover
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "@fontsource-variable/instrument-sans/LICENSE": "sans.LICENSE.txt",
    "@fontsource/besley/LICENSE": "display.LICENSE.txt",
    "@fontsource/noto-sans/LICENSE": "pdf.LICENSE.txt",
}

log = structlog.get_logger()


@click.command(help=__doc__)
def main() -> None:
    structlog_config.configure_logger()
    missing = [name for name in FILES if not (ROOT / "node_modules" / name).is_file()]
    if missing:
        raise click.ClickException(f"node_modules has no {missing[0]}: run `npm ci` first.")
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name, target in FILES.items():
        shutil.copyfile(ROOT / "node_modules" / name, VENDOR / target)
    log.info("browser libraries copied", files=len(FILES))


if __name__ == "__main__":
    main()
