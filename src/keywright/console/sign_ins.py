"""
Sign-ins under way: what the callback must know of the request that began it.

It is in a cookie of the browser that began it, sealed with a key that all processes derive from the client secret. So
the server stores nothing for somebody who has not signed in, and each tab has a sign-in of its own.

    name    the prefix and `state`, 32 random bytes as base64url
    value   base64url of `sealing.seal` with the client secret, info "keywright.console.v1 sign-in", and as associated
            data the name
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final

from keywright.console.cookies import Cookies
from keywright.service.ports import Clock, Entropy
from keywright.service.sealing import seal, unseal

LIFE: Final = timedelta(minutes=10)
"""How long a person may take at the issuer."""

MOST: Final = 3
"""How many sign-ins a browser may have under way; one more gives up the oldest."""

HOME: Final = "/console"
_INFO = b"keywright.console.v1 sign-in"
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
# A page of the console and a fragment, and no other host.
_RETURN = re.compile(r"/console(/operator)?(#/[A-Za-z0-9/_~=&?%.+*-]{0,512})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """
    A sign-in under way.

    Args:
        state: Comes back with the code.
        nonce: Comes back in the ID token.
        verifier: The secret of PKCE.
        return_to: The path to return to; see `safe_return`.
        organization: The organization that was asked for; None for any.
        former: The digest of the session that the browser had, as hexadecimal digits; None for none.
        begun_at: Seconds since the epoch.
    """

    state: str
    nonce: str
    verifier: str
    return_to: str
    organization: str | None
    former: str | None
    begun_at: float


class SignIns:
    """
    Begins sign-ins, and finds them again in the cookies of a callback.

    Args:
        cookies: The names of cookies.
        secret: The client secret.
        clock: The time.
        entropy: Gives states, nonces, verifiers, salts.
    """

    def __init__(self, cookies: Cookies, *, secret: str, clock: Clock, entropy: Entropy) -> None:
        self._cookies = cookies
        self._secret = secret.encode()
        self._clock = clock
        self._entropy = entropy

    def begin(self, *, return_to: str, organization: str | None, former: bytes | None) -> SignIn:
        """Begin a sign-in."""
        return SignIn(
            state=self._random(),
            nonce=self._random(),
            verifier=self._random(),
            return_to=return_to,
            organization=organization,
            former=None if former is None else former.hex(),
            begun_at=self._clock().timestamp(),
        )

    def set_cookies(self, sign_in: SignIn, sent: Mapping[str, str]) -> list[str]:
        """
        Write the `Set-Cookie` headers for a new sign-in, and for those that it makes too many.

        Args:
            sign_in: The new one.
            sent: The cookies of sign-ins that the browser sent, by name.
        """
        name = self._cookies.sign_in + sign_in.state
        content = seal(
            json.dumps(asdict(sign_in)).encode(),
            secret=self._secret,
            info=_INFO,
            associated=name.encode(),
            entropy=self._entropy,
        )
        value = urlsafe_b64encode(content).rstrip(b"=").decode()
        new = self._cookies.set_sign_in(name, value, seconds=int(LIFE.total_seconds()))
        return [new, *map(self._cookies.remove, self._too_many(sent))]

    def find(self, state: str, sent: Mapping[str, str]) -> SignIn | None:
        """
        Give the sign-in of a state.

        Args:
            state: Untrusted: that of the callback.
            sent: The cookies of sign-ins that the browser sent, by name.

        Returns:
            None where this browser began no such sign-in, or more than ten minutes ago.
        """
        name = self._cookies.sign_in + state
        return self._opened(name, sent[name]) if _STATE.fullmatch(state) and name in sent else None

    def forget(self, state: str) -> str:
        """Write the `Set-Cookie` header that makes a callback the only one of its sign-in."""
        return self._cookies.remove(self._cookies.sign_in + state)

    def _too_many(self, sent: Mapping[str, str]) -> list[str]:
        opened = {name: self._opened(name, value) for name, value in sent.items()}
        good = sorted((found.begun_at, name) for name, found in opened.items() if found is not None)
        kept = {name for _, name in good[-(MOST - 1) :]}
        # A name goes back into a header: one that we did not make may have any characters.
        return [
            name for name in sent if name not in kept and _STATE.fullmatch(name.removeprefix(self._cookies.sign_in))
        ]

    def _opened(self, name: str, value: str) -> SignIn | None:
        try:
            raw = urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except ValueError:
            return None
        content = unseal(raw, secret=self._secret, info=_INFO, associated=name.encode())
        if content is None:
            return None
        found = SignIn(**json.loads(content))
        age = self._clock().timestamp() - found.begun_at
        return found if abs(age) <= LIFE.total_seconds() else None

    def _random(self) -> str:
        return urlsafe_b64encode(self._entropy(32)).rstrip(b"=").decode()


def safe_return(path: str | None) -> str:
    """Give a path of the console to return to: *path* if it is one, else the beginning."""
    return path if path is not None and _RETURN.fullmatch(path) else HOME
