"""What a use case answers when it does not do what was asked: a value with a stable code, never an exception."""

from typing import Literal, NamedTuple

RefusalCode = Literal[
    "not_found",
    "validation_failed",
    "precondition_failed",
    "key_revoked",
    "key_expired",
    "rotation_under_way",
    "no_rotation_under_way",
    "too_many_keys",
    "idempotency_key_reused",
    "idempotency_key_in_use",
    "changed_meanwhile",
]


class Flaw(NamedTuple):
    """
    What is wrong with one field: its name, a sentence that does not quote the value, and a stable word for it.

    `place` leads into the field where it is a list or an object.
    """

    field: str
    msg: str
    type: str
    place: tuple[str | int, ...] = ()


class Refused(NamedTuple):
    """Nothing was done. `flaws` are given with `validation_failed`."""

    code: RefusalCode
    flaws: tuple[Flaw, ...] = ()
