"""The options of a proxy: its requirements for keys, and what its answers contain."""

from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl

from keywright.api.http.problems import REALM, KeyRefusal
from keywright.api.verify.schemas import LONGEST_TEXT, MOST_SCOPES
from keywright.keys.format import ENVIRONMENT
from keywright.keys.verdict import NO_REQUIREMENTS, Requirements

_PARAMETERS = frozenset({"scopes", "environment", "include", "proxy"})


class ProxyOptions(NamedTuple):
    """The options of a proxy: its requirements for keys, whether it is nginx, and whether it wants the metadata."""

    requirements: Requirements
    by_nginx: bool
    metadata: bool


NO_OPTIONS = ProxyOptions(NO_REQUIREMENTS, by_nginx=False, metadata=False)


class Misconfigured(KeyRefusal):
    """The configuration of the proxy is wrong, not the request of its client; *reason* is for the log."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, headers={"WWW-Authenticate": REALM} if code == "verifier_required" else {})
        self.reason = reason


def read_options(text: bytes) -> ProxyOptions:
    """
    Read `scopes=a:read,b:write&environment=live&proxy=nginx`; every part is optional.

    Args:
        text: A query, or the value of `X-Keywright-Require`: from a proxy, or from its client where that is wrong.

    Raises:
        Misconfigured: It is malformed.
    """
    if not text:
        return NO_OPTIONS
    try:
        pairs = parse_qsl(text.decode("ascii"), strict_parsing=True, keep_blank_values=True, errors="strict")
    except ValueError:
        _unreadable("are malformed")
    values = dict(pairs)
    if len(values) < len(pairs) or not values.keys() <= _PARAMETERS:
        _unreadable("repeat a parameter, or have one other than scopes, environment, include and proxy")
    if values.get("include", "metadata") != "metadata":
        _unreadable("include something other than metadata")
    if values.get("proxy", "nginx") != "nginx":
        _unreadable("have a proxy other than nginx")
    environment = values.get("environment")
    if environment is not None and not ENVIRONMENT.fullmatch(environment):
        _unreadable("have a malformed environment")
    scopes = tuple(values["scopes"].split(",")) if "scopes" in values else ()
    if len(scopes) > MOST_SCOPES or not all(1 <= len(scope) <= LONGEST_TEXT for scope in scopes):
        _unreadable("have too many scopes, or an empty or too long one")
    requirements = Requirements(environment=environment, scopes=scopes) if environment or scopes else NO_REQUIREMENTS
    return ProxyOptions(requirements, by_nginx="proxy" in values, metadata="include" in values)


def _unreadable(what: str) -> NoReturn:
    raise Misconfigured("misconfigured_proxy", f"its requirements {what}")
