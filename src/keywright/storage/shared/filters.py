"""
What a filter of keys or events becomes in SQL, on both engines: conditions and their values.

`k` is a key, `s` its current secret, `r` the one that the last rotation replaced, `e` an event. A condition has `{}`
where its value stands, `{0}` where it stands more than once.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from keywright.keys import format as text_format
from keywright.keys.pair import PublicKey
from keywright.keys.record import Status
from keywright.service.management.ports import EventFilter, KeyFilter
from keywright.storage.shared import rows
from keywright.storage.shared.statements import Dialect

_ASCII_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_PARTS_OF_A_TEXT = 4


class Term(NamedTuple):
    """A condition, and the values of its places."""

    condition: str
    values: tuple[Any, ...] = ()


class Query(NamedTuple):
    """Conditions to be joined to a statement, beginning with AND where there are any, and all its values."""

    conditions: str
    values: list[Any]


def query(dialect: Dialect, terms: Sequence[Term], *before: Any) -> Query:
    """Number the places of *terms*, after those of the values that the statement has already."""
    values = list(before)
    conditions = ""
    for term in terms:
        places = [f"{dialect.mark}{len(values) + number}" for number in range(1, len(term.values) + 1)]
        values += term.values
        conditions += f" AND ({term.condition.format(*places)})"
    return Query(conditions, values)


def key_terms(dialect: Dialect, which: KeyFilter) -> list[Term] | None:
    """
    Give the conditions for keys, without that for the external id.

    Returns:
        None where *which* has a text that cannot be stored, so that no key matches.
    """
    if not rows.is_storable((which.text, which.environment, which.external_id, which.created_by, which.scope)):
        return None
    wanted = (
        ("k.environment = {}", which.environment),
        ("k.created_by = {}", which.created_by),
        ("k.created_at >= {}", which.created_since),
        ("k.created_at < {}", which.created_before),
        # As the list contains it: a scope has no character that JSON escapes.
        (dialect.includes("k.scopes"), None if which.scope is None else f'"{which.scope}"'),
    )
    terms = _status_terms(which)
    terms += [Term(condition, (value,)) for condition, value in wanted if value is not None]
    if which.unused_since is not None:
        unused = " AND ".join(f"({column} IS NULL OR {column} < {{0}})" for column in _USES)
        used = " OR ".join(f"{column} IS NOT NULL" for column in _USES)
        terms.append(Term(f"{unused} AND (k.created_at <= {{0}} OR {used})", (which.unused_since,)))
    if which.text is not None:
        terms.append(_either(list(_text_terms(dialect, which.text))))
    return terms


def event_terms(which: EventFilter) -> list[Term] | None:
    """Give the conditions for events, without that for the key; None where no event can match."""
    if not rows.is_storable((which.subject,)):
        return None
    wanted = (
        ("e.type = {}", None if which.type is None else which.type.value),
        ("e.subject = {}", which.subject),
        ("e.occurred_at >= {}", which.since),
        ("e.occurred_at < {}", which.until),
    )
    return [Term(condition, (value,)) for condition, value in wanted if value is not None]


_USES = ("s.last_used_at", "r.last_used_at")


def _status_terms(which: KeyFilter) -> list[Term]:
    """Give the conditions for the status and the expiry."""
    terms = []
    if which.status is not None:
        terms.append(Term(f"k.revoked_at IS {'NOT ' if which.status is Status.REVOKED else ''}NULL"))
    if which.status not in (None, Status.REVOKED):
        terms.append(Term(f"k.disabled_at IS {'NOT ' if which.status is Status.DISABLED else ''}NULL"))
    if which.status is Status.ACTIVE:
        terms.append(Term("k.expires_at IS NULL OR k.expires_at > {}", (which.at,)))
    if which.status is Status.EXPIRED:
        terms.append(Term("k.expires_at <= {}", (which.at,)))
    if which.expires_before is not None:
        terms.append(Term("k.expires_at <= {}", (which.expires_before,)))
    return terms


def _either(terms: list[Term]) -> Term:
    """Join terms, each of which has values of its own."""
    conditions: list[str] = []
    values: list[Any] = []
    for term in terms:
        places = [f"{{{len(values) + number}}}" for number in range(len(term.values))]
        conditions.append(f"({term.condition.format(*places)})")
        values += term.values
    return Term(" OR ".join(conditions), tuple(values))


def _text_terms(dialect: Dialect, text: str) -> Iterator[Term]:
    for column in ("k.name", "k.description"):
        yield Term(dialect.contains(column), (text.translate(_ASCII_LOWER),))
    for secret in ("s", "r"):
        yield Term(dialect.ends(f"{secret}.display"), (text,))
        yield from _public_terms(secret, text)


def _public_terms(secret: str, text: str) -> Iterator[Term]:
    """Give the condition for public keys that begin with *text*: it compares bytes, because no text is stored."""
    if text.count("_") < _PARTS_OF_A_TEXT - 1:
        head = f"{secret}.brand || '_{text_format.Kind.PUBLIC}_' || k.environment || '_'"
        yield Term(f"substr({head}, 1, length({{0}})) = {{0}}", (text,))
        return
    brand, kind, environment, digits = text.split("_", _PARTS_OF_A_TEXT - 1)
    span = text_format.span(digits)
    if kind != text_format.Kind.PUBLIC or span is None:
        return
    # What is beyond the body of a key is no part of the comparison, so it is compared here.
    if len(digits) > text_format.BODY_WIDTH and not _begins(PublicKey(span[0], brand, environment), text):
        return
    yield Term(
        f"{secret}.public_key BETWEEN {{}} AND {{}} AND {secret}.brand = {{}} AND k.environment = {{}}",
        (*span, brand, environment),
    )


def _begins(key: PublicKey, text: str) -> bool:
    try:
        return key.text.startswith(text)
    except ValueError:
        # No brand or no environment, and so no key.
        return False
