"""
The pages of the console: shells, which are the same for everybody, and messages about sign-ins that failed.

Their files are those of `static/console` and `static/element`, each under the name of its folder: modules of the
operator's page import those of the element by the same relative paths as in the source.
"""

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
        self._files = files
        self._element = element
        self._public_url = public_url

    @cached_property
    def version(self) -> str:
        """The version of all files; the first use reads them."""
        return f"{self._files.version}-{self._element.version.rpartition('-')[2]}"

    @cached_property
    def _shells(self) -> dict[str, Asset]:
        return {name: Asset.of(name, self._filled(name, {})) for name in ("index.html", "operator.html")}

    def shell(self, name: str, headers: Headers) -> Response:
        """Answer a page; it shows nothing of anybody."""
        return answer(self._shells[name], headers, {"Cache-Control": "no-cache", **PAGE})

    def file(self, path: str) -> Asset | None:
        """Give a file by its path, such as `console/console.css`; None for a page or an unknown path."""
        folder, _, name = path.partition("/")
        found = {"console": self._files, "element": self._element}.get(folder)
        return None if found is None or name.endswith(".html") else found.by_path.get(name)

    def message(self, message: Message, *, request_id: str) -> Response:
        """Answer a page that says why nobody is signed in, with a way to begin again."""
        status, title, sentence = message.value
        page = self._filled("message.html", {"title": title, "sentence": sentence, "request_id": request_id})
        headers = {**PAGE, **NO_STORE, "Content-Type": "text/html; charset=utf-8"}
        return Response(page, status_code=status, headers=headers)

    def _filled(self, name: str, more: dict[str, str]) -> bytes:
        text = self._files.by_path[name].plain.decode()
        values = {
            "files": f"{self._public_url}/{FILES}/{self.version}",
            "element": f"{self._public_url}/element/{self._element.version}",
            "origin": self._public_url,
            **more,
        }
        for place, value in values.items():
            text = text.replace(f"{{{place}}}", escape(value))
        return text.encode()
