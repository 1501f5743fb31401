"""Standalone scripts carry what they need in their header, pinned to the lock (spec: G2)."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shared.settings import ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
HEADER = re.compile(r"#!/usr/bin/env -S uv run --script\n# /// script\n((?:#.*\n)+?)# ///\n\"\"\"")
EVERY_SCRIPT = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)


def header(path: Path) -> dict[str, object]:
    """What the script's header says (PEP 723)."""
    found = HEADER.match(path.read_text())
    assert found is not None, "a script begins with uv's header and its docstring"
    return tomllib.loads(re.sub(r"^# ?", "", found[1], flags=re.MULTILINE))


@EVERY_SCRIPT
def test_header(path: Path) -> None:
    """Python 3.11, click for the command line, structlog_config for the log; and it can be started by its name."""
    said = header(path)
    assert said["requires-python"] == ">=3.11"
    names = {re.split(r"[\[=]", str(line))[0] for line in said["dependencies"]}  # type: ignore[attr-defined]
    assert {"click", "structlog-config"} <= names
    assert "@click.command" in path.read_text()
    assert path.stat().st_mode & 0o111


def test_every_header_is_pinned_to_the_lock() -> None:
    """A script runs with what it was tried with. Where this fails: `python scripts/pin_headers.py`, or `make lock`."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/pin_headers.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_needs_the_whole_program_asks_for_all_of_it() -> None:
    """The one that imports the shop lists every dependency of the project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = header(ROOT / "scripts/regenerate_orders.py")["dependencies"]
    assert {str(line).split("==")[0] for line in listed} == set(project)  # type: ignore[attr-defined]
