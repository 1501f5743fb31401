"""`python -m tests.bench [--quick]`: prints one table; a figure that misses its aim is said so, not hidden."""

import os
import platform
import time
from importlib.metadata import version

import click

from tests.bench.house import house
from tests.bench.measures import FULL, QUICK, Figure, all_figures

WORDS = {True: "met", False: "MISSED", None: ""}


@click.command()
@click.option("--quick", is_flag=True, help="Half a minute, for a first look; figures vary more.")
def main(quick: bool) -> None:
    """Measure pages, purchases and a rush on a shop of its own."""
    started = time.monotonic()
    click.echo(f"{os.cpu_count()} CPUs, Python {platform.python_version()}, Quart {version('quart')}")
    with house() as running:
        for figure in all_figures(running, QUICK if quick else FULL):
            show(figure)
    click.echo(f"\n{time.monotonic() - started:.0f} s in all, load {os.getloadavg()[0]:.1f}")


def show(figure: Figure) -> None:
    """One line of the table."""
    line = f"{figure.name:34}{figure.value:>32}   {figure.aim:9}{WORDS[figure.met]}"
    click.echo(line.rstrip())


if __name__ == "__main__":
    main()
