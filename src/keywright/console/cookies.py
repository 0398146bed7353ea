"""
The cookies of the console: one for the session, and one for each sign-in under way.

Their names begin with `__Host-Http-`: browsers accept them from this host alone, over TLS, and from no script. Only
`keywright dev` has plain names, because over `http://` no browser takes the others.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self
from urllib.parse import urlsplit


class Cookies(NamedTuple):
    """
    The names and attributes of the cookies.

    Args:
        session: The name of the session's cookie.
        sign_in: What the names of sign-ins under way begin with; `state` follows.
        secure: Whether they are `Secure`.
    """

    session: str
    sign_in: str
    secure: bool

    @classmethod
    def at(cls, public_url: str) -> Self:
        """Give the cookies of a console at *public_url*."""
        url = urlsplit(public_url)
        if url.scheme == "https":
            return cls("__Host-Http-keywright-session", "__Host-Http-keywright-sign-in-", secure=True)
        # Cookies know no ports: two demos on one host must not end each other's sessions.
        return cls(f"keywright-dev-{url.port}-session", f"keywright-dev-{url.port}-sign-in-", secure=False)

    def session_of(self, header: Sequence[str]) -> str | None:
        """Give the session's cookie out of all `Cookie` headers; None without one, or with several."""
        values = [value for name, value in _read(header) if name == self.session]
        return values[0] if len(values) == 1 else None

    def sign_ins_of(self, header: Sequence[str]) -> dict[str, str]:
        """Give the cookies of sign-ins under way, by name."""
        return {name: value for name, value in _read(header) if name.startswith(self.sign_in)}

    def set_session(self, value: str) -> str:
        """Write `Set-Cookie` for a session: it ends with the browser, or before on the server."""
        return self._written(self.session, value, "SameSite=Strict")

    def set_sign_in(self, name: str, value: str, *, seconds: int) -> str:
        """Write `Set-Cookie` for a sign-in. Lax: the callback comes from the issuer's site."""
        return self._written(name, value, f"SameSite=Lax; Max-Age={seconds}")

    def remove(self, name: str) -> str:
        """Write `Set-Cookie` that removes a cookie."""
        return self._written(name, "", "SameSite=Strict; Max-Age=0")

    def _written(self, name: str, value: str, rest: str) -> str:
        return f"{name}={value}; Path=/; HttpOnly; {'Secure; ' if self.secure else ''}{rest}"


def _read(header: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in header:
        for pair in line.split(";"):
            name, separator, value = pair.strip().partition("=")
            if separator:
                yield name, value
