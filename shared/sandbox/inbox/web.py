"""The inbox's pages: the list, and one mail as HTML and as text with its links to click."""

import re
from pathlib import Path

from markupsafe import Markup, escape
from quart import Quart, Response, abort, render_template

from shared.sandbox.inbox.mailbox import Mail, Mailbox

HERE = Path(__file__).parent
LINK = re.compile(r"https?://[^\s<>\"]+")
OURS = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
THEIRS = (
    # a mail brings its own styles and nothing that runs; its links may leave the frame
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self';"
    " sandbox allow-top-navigation-by-user-activation allow-popups"
)


def create_inbox(mailbox: Mailbox) -> Quart:
    """The web side over a mailbox."""
    app = Quart("inbox", root_path=str(HERE), static_url_path="/static")
    app.add_template_filter(linked)

    @app.after_request
    async def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", OURS)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.get("/")
    async def inbox() -> str:
        return await render_template("inbox.html", mails=mailbox.newest())

    @app.get("/mail/<name>")
    async def mail(name: str) -> str:
        return await render_template("mail.html", mail=found(name))

    @app.get("/mail/<name>/html")
    async def html(name: str) -> Response:
        body = '<!doctype html><meta charset="utf-8"><base target="_top">' + found(name).html
        return Response(body, headers={"Content-Security-Policy": THEIRS})

    def found(name: str) -> Mail:
        return mailbox.find(name) or abort(404)

    return app


def linked(text: str) -> Markup:
    """Plain text with its addresses made links."""
    return Markup(LINK.sub(r'<a href="\g<0>">\g<0></a>', str(escape(text))))  # noqa: S704 - escaped just here
