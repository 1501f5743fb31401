"""The demo's inbox keeps what it is sent and shows it safely."""

from email.message import EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.smtp import Envelope

from shared.sandbox.inbox.mailbox import Mailbox
from shared.sandbox.inbox.web import create_inbox


def letter(subject: str, html: str = "") -> bytes:
    """A mail as the shop sends them."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@tillgate.example", "ada@example.org", subject
    message.set_content("Sign in: http://127.0.0.1:8000/sign-in/abc?x=1&y=2 <b>or not</b>")
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes()


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    """An empty one."""
    return Mailbox(tmp_path / "mail")


async def test_mails_are_listed_newest_first(mailbox: Mailbox) -> None:
    """What arrives by SMTP is on the page."""
    client = create_inbox(mailbox).test_client()
    assert "No mail yet" in await (await client.get("/")).get_data(as_text=True)
    for subject in ("First", "Grüße & <Küsse>"):
        envelope = Envelope()
        envelope.content = letter(subject)
        assert (await mailbox.handle_DATA(None, None, envelope)).startswith("250")
    page = await (await client.get("/")).get_data(as_text=True)
    assert page.index("Grüße &amp; &lt;Küsse&gt;") < page.index("First")


async def test_text_links_can_be_clicked_and_nothing_else_comes_through(mailbox: Mailbox) -> None:
    """Addresses become links, markup in a text mail stays text."""
    name = mailbox.add(letter("Hello"))
    page = await (await create_inbox(mailbox).test_client().get(f"/mail/{name}")).get_data(as_text=True)
    address = "http://127.0.0.1:8000/sign-in/abc?x=1&amp;y=2"
    assert f'<a href="{address}">{address}</a> &lt;b&gt;or not&lt;/b&gt;' in page
    assert "<iframe" not in page


async def test_html_stands_in_a_frame_that_runs_nothing(mailbox: Mailbox) -> None:
    """The page itself allows no inline style or script; the mail's frame is sandboxed."""
    client = create_inbox(mailbox).test_client()
    name = mailbox.add(letter("Hello", html="<p style='color:red'>Hi<script>alert(1)</script></p>"))
    page, frame = await client.get(f"/mail/{name}"), await client.get(f"/mail/{name}/html")
    assert f'src="/mail/{name}/html"' in await page.get_data(as_text=True)
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert "script-src" not in frame.headers["Content-Security-Policy"]
    assert "allow-scripts" not in frame.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "nothing", "0190b5c0-0000-7000-8000-000000000000"])
async def test_unknown_mails_are_not_found(mailbox: Mailbox, name: str) -> None:
    """A wrong name is a 404, whatever is in it."""
    assert mailbox.find(name) is None
    assert (await create_inbox(mailbox).test_client().get(f"/mail/{name}")).status_code == 404
