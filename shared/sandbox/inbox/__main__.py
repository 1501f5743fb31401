"""`python -m shared.sandbox.inbox`: started by the demo; SMTP and web side in one process."""

import asyncio
from pathlib import Path

import click
from aiosmtpd.smtp import SMTP
from hypercorn.asyncio import serve
from hypercorn.config import Config

from shared.sandbox.inbox.mailbox import Mailbox
from shared.sandbox.inbox.web import create_inbox

LOOPBACK = "127.0.0.1"


@click.command()
@click.option("--port", type=int, required=True, help="Of the web page.")
@click.option("--smtp-port", type=int, required=True)
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where mails are kept.")
def main(port: int, smtp_port: int, folder: Path) -> None:
    """Take mails and show them until stopped."""
    asyncio.run(run(port, smtp_port, Mailbox(folder)))


async def run(port: int, smtp_port: int, mailbox: Mailbox) -> None:
    """Both sides; Hypercorn ends on SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(lambda: SMTP(mailbox, hostname="inbox", loop=loop), LOOPBACK, smtp_port)
    config = Config()
    config.bind = [f"{LOOPBACK}:{port}"]
    config.include_server_header = False
    try:
        await serve(create_inbox(mailbox), config)
    finally:
        smtp.close()


main()
