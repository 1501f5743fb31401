#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "click==8.5.1",
#   "structlog-config==0.15.0",
# ]
# ///
"""Pin what the scripts' headers ask for to the versions of requirements.lock (spec: G2). Run by `make lock`."""

import re
import sys
from pathlib import Path

import click
import structlog
import structlog_config

ROOT = Path(__file__).resolve().parent.parent
DEPENDENCY = re.compile(r'^#   "(?P<name>[a-z0-9._-]+)(?P<extras>\[[a-z,]+\])?(==[^"]+)?",$', re.MULTILINE)

log = structlog.get_logger()


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Change nothing; exit status 1 where a header is not pinned.")
def main(check: bool) -> None:
    structlog_config.configure_logger()
    versions = locked((ROOT / "requirements.lock").read_text())
    behind = [path for path in sorted((ROOT / "scripts").glob("*.py")) if pin(path, versions, check=check)]
    for path in behind:
        log.info("not pinned" if check else "pinned", script=path.name)
    sys.exit(1 if check and behind else 0)


def locked(lock: str) -> dict[str, str]:
    """Version by name."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE))


def pin(path: Path, versions: dict[str, str], *, check: bool) -> bool:
    """Write the versions into one script's header; whether there was anything to write. Raises KeyError."""
    text = path.read_text()
    head, end, body = text.partition('# ///\n"""')
    pinned = DEPENDENCY.sub(lambda found: _line(found, versions), head) + end + body
    if not check:
        path.write_text(pinned)
    return pinned != text


def _line(found: re.Match[str], versions: dict[str, str]) -> str:
    name = found["name"]
    return f'#   "{name}{found["extras"] or ""}=={versions[name]}",'


if __name__ == "__main__":
    main()
