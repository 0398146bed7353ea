"""
The bodies of verifications, and a quick way to read those that most callers send.

A key that comes first and is plain means the same to every reader, whatever comes behind it. So what comes behind is
read strictly once, and remembered by its bytes; every other body is read strictly every time. A batch is cut where its
keys are, which is where its objects begin if each piece turns out to be exactly one. Both ways mean the same:
tests/api/test_verify_bodies.py holds them against each other.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from keywright.api.http.bodies import as_model
from keywright.api.http.problems import Refusal
from keywright.api.verify_schemas import MOST_IN_A_BATCH, BatchRequest, VerifyRequest
from keywright.keys.verdict import ANY_USE, Ask

# JSON's own: `\s` would take form feeds, which the strict reader refuses.
_WHITE = b" \t\r\n"
_OBJECT_OF_KEY = rb'\{[ \t\r\n]*"key"[ \t\r\n]*:[ \t\r\n]*"([!#-\[\]-~]{0,512})(?=")'
_KEY_FIRST = re.compile(rb"[ \t\r\n]*" + _OBJECT_OF_KEY)
_KEY_IN_BATCH = re.compile(_OBJECT_OF_KEY)
_BATCH = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"keys"[ \t\r\n]*:[ \t\r\n]*\[(.*)\][ \t\r\n]*\}[ \t\r\n]*', re.DOTALL)
LONGEST_REST = 512
_MOST_RESTS = 8192


class Wish(NamedTuple):
    """What a request asks beside the key that it presents."""

    ask: Ask
    cost: int
    explain: bool


class Question(NamedTuple):
    """A presented text, and what is asked of it."""

    text: str
    wish: Wish


def read(raw: bytes) -> Question:
    """
    Read the body of one verification.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Raises:
        Refusal: It is not strict JSON, or not of the schema.
    """
    first = _KEY_FIRST.match(raw)
    if first is not None:
        rest = raw[first.end() :]
        if len(rest) <= LONGEST_REST:
            return Question(first[1].decode("ascii"), read_rest(rest))
    asked = as_model(VerifyRequest, raw)
    return Question(asked.key, wish_of(asked))


def read_batch(raw: bytes) -> list[Question]:
    """
    Read the body of a batch.

    Args:
        raw: Anything at all; the caller has bounded its length.

    Raises:
        Refusal: It is not strict JSON, or not of the schema.
    """
    questions = _read_plain_batch(raw)
    if questions is None:
        questions = [Question(asked.key, wish_of(asked)) for asked in as_model(BatchRequest, raw).keys]
    return questions


def _read_plain_batch(raw: bytes) -> list[Question] | None:
    """Read a batch of objects whose keys come first and are plain; None for any other, and for one with a flaw."""
    whole = _BATCH.fullmatch(raw)
    if whole is None:
        return None
    # With a comma behind the last one all objects are alike.
    begin, *parts = _KEY_IN_BATCH.split(whole[1] + b",")
    keys, rests = parts[::2], parts[1::2]
    if begin.strip(_WHITE) or not 1 <= len(keys) <= MOST_IN_A_BATCH:
        return None
    wishes: dict[bytes, Wish] = {}
    for rest in set(rests):
        behind = rest.rstrip(_WHITE)
        if not behind.endswith(b",") or len(behind) > LONGEST_REST:
            return None
        try:
            wishes[rest] = read_rest(behind[:-1])
        except Refusal:
            return None
    return list(map(Question, map(bytes.decode, keys), map(wishes.__getitem__, rests)))


@lru_cache(_MOST_RESTS)
def read_rest(rest: bytes) -> Wish:
    """Read what comes behind a plain key, from its closing quotation mark on; raises `Refusal` as `read` does."""
    return wish_of(as_model(VerifyRequest, b'{"key":"x' + rest))


def wish_of(asked: VerifyRequest) -> Wish:
    """Give what *asked* asks beside its key."""
    ask = Ask(environment=asked.environment, scopes=tuple(asked.scopes), client_ip=asked.client_ip)
    # Most ask for nothing, and the verdict knows that one by its identity.
    return Wish(ANY_USE if ask == ANY_USE else ask, asked.cost, asked.explain)
