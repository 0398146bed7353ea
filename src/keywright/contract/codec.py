"""Writes the classes of the contract as JSON, and reads them back."""

import re
from collections.abc import Hashable
from dataclasses import field
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, TypeVar, cast

import msgspec

from keywright.keys import format as text_format
from keywright.keys.format import Kind
from keywright.keys.pair import PrivateKey, VerifierCredential

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with an offset; one without is refused, because it names no moment."""

Count = Annotated[int, msgspec.Meta(ge=0)]
"""A whole number that is not negative."""

Positive = Annotated[int, msgspec.Meta(ge=1)]
"""A whole number above 0."""

ABSENT: Final[Any] = msgspec.UNSET
"""The default of a member that is left out of the JSON. It is false in a condition."""

HEADER = "header"
"""The name of a header in the metadata of a field, where `in_header` declared it."""

# The messages of msgspec name members and types; this one quotes a value, too.
_QUOTED = re.compile(r"(?<=^Invalid enum value) .*?(?= - at `[^`]*`$|$)", re.DOTALL)

_Type = TypeVar("_Type")


class ContractError(ValueError):
    """A body does not follow the contract. The text names the flaw and its place, and quotes no value."""


def in_header(name: str) -> Any:
    """Declare a member that travels in the header *name*: the service leaves it out, a client fills it in."""
    return field(default=ABSENT, metadata={HEADER: name})


def written(value: Any) -> bytes:
    """
    Write an answer as compact JSON in UTF-8.

    Times are RFC 3339 with `Z` for UTC, and microseconds unless they are 0; not-a-number and infinity become null. A
    private key is written as its text. It leaves the service nowhere else.
    """
    return _encoder.encode(value)


def read(type_: type[_Type], body: bytes) -> _Type:
    """
    Read an answer; members that the class does not know are ignored.

    Raises:
        ContractError: The body is not JSON, a member is missing, or a value has the wrong type.
    """
    try:
        found: _Type = _decoder(cast("Hashable", type_)).decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        flaw = _QUOTED.sub("", str(error))
    except RecursionError:
        flaw = "The JSON is nested too deep"
    else:
        return found
    # Raised outside of the handlers: a traceback with the body might show a private key.
    raise ContractError(flaw)


@lru_cache
def _decoder(type_: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type_, dec_hook=_decoded)


def _encoded(value: Any) -> str:
    if isinstance(value, PrivateKey):
        return value.reveal()
    raise NotImplementedError(f"{type(value).__name__} is not of the contract")


def _decoded(type_: type, value: Any) -> PrivateKey:
    parts = text_format.decode(value) if type_ in _KINDS and isinstance(value, str) else None
    if parts is None or parts.kind is not _KINDS[type_]:
        raise ValueError(f"Expected a {_NAMES.get(type_, 'text')}")
    secret: PrivateKey = type_(parts)
    return secret


_KINDS: Final[dict[type, Kind]] = {PrivateKey: Kind.PRIVATE, VerifierCredential: Kind.VERIFIER}
_NAMES: Final[dict[type, str]] = {PrivateKey: "private key", VerifierCredential: "credential"}


_encoder = msgspec.json.Encoder(enc_hook=_encoded)
