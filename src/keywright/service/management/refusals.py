"""Refusals of use cases: values with a stable code, never exceptions."""

from typing import Literal, NamedTuple

RefusalCode = Literal[
    "not_found",
    "validation_failed",
    "scopes_not_grantable",
    "precondition_failed",
    "key_revoked",
    "key_expired",
    "rotation_under_way",
    "no_rotation_under_way",
    "rotated_too_often",
    "too_many_pairs",
    "too_many_keys",
    "idempotency_key_reused",
    "idempotency_key_in_use",
    "changed_meanwhile",
    "preview_expired",
]


class Flaw(NamedTuple):
    """
    One flaw of a field: the field's name, a sentence that does not quote the value, and a stable word.

    `path` leads inside of a field that is a list or an object.
    """

    field: str
    msg: str
    type: str
    path: tuple[str | int, ...] = ()


class Refused(NamedTuple):
    """
    A refusal: nothing was changed.

    `flaws` are given with `validation_failed`, and the scopes that the token may not give with `scopes_not_grantable`.

    `retry_after` is the number of whole seconds until the same request may succeed; None where the code decides it.
    """

    code: RefusalCode
    flaws: tuple[Flaw, ...] = ()
    scopes: tuple[str, ...] = ()
    retry_after: int | None = None
