"""The least that Quart can do, under the same Hypercorn as the shop: `python -m tests.bench.hello 9000`."""

import sys

from hypercorn.run import run
from quart import Quart

from shared.serving import hypercorn_config


def build() -> Quart:
    """One page, no hooks, no database."""
    app = Quart("hello")

    @app.get("/")
    async def hello() -> str:
        return "hello"

    return app


if __name__ == "__main__":
    config = hypercorn_config(f"127.0.0.1:{sys.argv[1]}", 1, None)
    config.application_path = f"{__spec__.name}:build()"
    sys.exit(run(config))
