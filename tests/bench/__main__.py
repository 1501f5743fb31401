"""`python -m tests.bench [--quick]`: prints one table; a figure that misses its aim is said so, not hidden."""

import os
import platform
import time
from importlib.metadata import version

import click

from tests.bench.claims import claims
from tests.bench.figures import FULL, QUICK, Figure
from tests.bench.house import house
from tests.bench.measures import all_figures, file_alone

WORDS = {True: "met", False: "MISSED", None: ""}


@click.command()
@click.option("--quick", is_flag=True, help="Half a minute, for a first look; figures vary more.")
@click.option("--claims", "only_claims", is_flag=True, help="Only the claims of tickets.")
@click.option("--files", "only_files", is_flag=True, help="Only the large file.")
def main(quick: bool, only_claims: bool, only_files: bool) -> None:
    """Measure pages, purchases, a rush and claims on a shop of its own."""
    figures, scale = claims if only_claims else all_figures, QUICK if quick else FULL
    figures = file_alone if only_files else figures
    started = time.monotonic()
    click.echo(f"{os.cpu_count()} CPUs, Python {platform.python_version()}, Quart {version('quart')}")
    with house() as running:
        for figure in figures(running, scale):
            show(figure)
    click.echo(f"\n{time.monotonic() - started:.0f} s in all, load {os.getloadavg()[0]:.1f}")


def show(figure: Figure) -> None:
    """One line of the table."""
    line = f"{figure.name:34}{figure.value:>32}   {figure.aim:9}{WORDS[figure.met]}"
    click.echo(line.rstrip())


if __name__ == "__main__":
    main()
