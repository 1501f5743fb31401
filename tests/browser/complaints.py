"""What a browser complains of while a test runs; used by the fixture `visit`."""

from collections.abc import Iterator

from playwright.async_api import BrowserContext, ConsoleMessage, Response, WebError

ANSWERS = ("document", "fetch", "xhr")


class Complaints:
    """Errors of scripts, breaches of the Content-Security-Policy, files that are missing, answers of 5xx."""

    def __init__(self) -> None:
        self._heard: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._heard)

    def __len__(self) -> int:
        return len(self._heard)

    def listen_to(self, context: BrowserContext) -> None:
        """From now on, on all pages of this context."""
        context.on("console", self._console)
        context.on("weberror", self._script)
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # the status of an answer is judged below: a page that says "sold out" is a 409 and no mistake
        status_only = message.text.startswith("Failed to load resource: the server responded with")
        if message.type == "error" and not status_only:
            self._heard.append(f"{message.page.url if message.page else ''}: {message.text}")

    def _script(self, error: WebError) -> None:
        self._heard.append(f"{error.page.url if error.page else ''}: {error.error}")

    def _response(self, response: Response) -> None:
        may_refuse = response.request.resource_type in ANSWERS
        if response.status >= (500 if may_refuse else 400):
            self._heard.append(f"{response.status} from {response.url}")
