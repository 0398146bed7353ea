"""The pages of the console: the shell, which is the same for everybody, and messages about sign-ins that failed."""

from enum import Enum
from functools import cached_property
from html import escape

from starlette.datastructures import Headers
from starlette.responses import Response

from keywright.console.assets import Asset, Assets
from keywright.console.element import answer
from keywright.console.headers import NO_STORE, PAGE

FILES = "console/static"


class Message(Enum):
    """What a page about a failed sign-in says: a status, a heading and a sentence."""

    REFUSED = 400, "You are not signed in", "The sign-in was not completed, or it took too long. Nothing was changed."
    NO_ORGANIZATION = (
        403,
        "No organization",
        "Your account belongs to no organization here, or none was chosen. Ask an administrator to add you to one.",
    )
    CONFLICT = 403, "Another organization has this id", "Ask the operator of this service: nobody can sign in with it."
    UNAVAILABLE = 503, "Sign-in is not possible right now", "Please try again in a moment."


class Pages:
    """
    Writes the pages.

    Args:
        files: The files of `static/console`.
        element: Those of the element.
        public_url: The address of the service.
    """

    def __init__(self, files: Assets, element: Assets, *, public_url: str) -> None:
        self.files = files
        self._element = element
        self._public_url = public_url

    @cached_property
    def _shell(self) -> Asset:
        return Asset.of("index.html", self._filled("index.html", {}))

    def shell(self, headers: Headers) -> Response:
        """Answer the page; it shows nothing of anybody."""
        return answer(self._shell, headers, {"Cache-Control": "no-cache", **PAGE})

    def message(self, message: Message, *, request_id: str) -> Response:
        """Answer a page that says why nobody is signed in, with a way to begin again."""
        status, title, sentence = message.value
        page = self._filled("message.html", {"title": title, "sentence": sentence, "request_id": request_id})
        headers = {**PAGE, **NO_STORE, "Content-Type": "text/html; charset=utf-8"}
        return Response(page, status_code=status, headers=headers)

    def _filled(self, name: str, more: dict[str, str]) -> bytes:
        text = self.files.by_path[name].plain.decode()
        values = {
            "files": f"{self._public_url}/{FILES}/{self.files.version}",
            "element": f"{self._public_url}/element/{self._element.version}",
            "origin": self._public_url,
            **more,
        }
        for place, value in values.items():
            text = text.replace(f"{{{place}}}", escape(value))
        return text.encode()
