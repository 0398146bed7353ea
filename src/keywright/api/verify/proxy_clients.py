"""Proxies by the address of their connection, and their clients: whose request a proxy asks about."""

from collections.abc import Sequence

from keywright import telemetry
from keywright.keys.addresses import Networks, address_text, forwarded_number, hop_number, lies_in
from keywright.keys.bounded import BoundedDict

Peer = tuple[str, int]

# Trusted proxies only.
_MOST_PROXIES = 256

_log = telemetry.Log("keywright.forward_auth")


class ProxyClients:
    """
    Finds the addresses of clients behind proxies.

    A proxy is never its own client: as the client's address, it would put all clients under one failure limit.

    Args:
        trusted: The networks of proxies whose `X-Forwarded-For` is trusted.
    """

    def __init__(self, trusted: Networks) -> None:
        self._trusted = trusted
        self._proxies: BoundedDict[str, int] = BoundedDict(_MOST_PROXIES)
        self._warned = False

    def number(self, peer: Peer | None, forwarded: Sequence[str]) -> int:
        """
        Give the address of the client as `addresses.packed` does; 0 where it is unknown.

        Args:
            peer: The proxy, as in an ASGI scope.
            forwarded: The values of all `X-Forwarded-For` headers.
        """
        if not forwarded:
            return 0
        host = "" if peer is None else peer[0]
        proxy = self._proxies.get(host) or self._trusted_proxy(host)
        found = proxy and forwarded_number(forwarded, self._trusted)
        if found != proxy:
            return found
        self._warn(host)
        return 0

    def _trusted_proxy(self, host: str) -> int:
        """Give the address of a trusted proxy as `addresses.packed` does; 0 for any other host."""
        number = hop_number(host)
        return self._proxies.keep(host, number) if lies_in(number, self._trusted) else 0

    def _warn(self, host: str) -> None:
        if not self._warned:
            self._warned = True
            proxy = address_text(hop_number(host))
            _log.warning("X-Forwarded-For is not trusted; name the proxy in KEYWRIGHT_TRUSTED_PROXIES", proxy=proxy)


class AdmittedPeers:
    """
    Tells proxies that need no credential, by the address of their connection.

    Nothing that a request says counts. A peer without an address, such as at a Unix socket, is never one of them.

    Args:
        networks: The networks of these proxies.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self._known: BoundedDict[str, bool] = BoundedDict(_MOST_PROXIES)

    def admits(self, peer: Peer | None) -> bool:
        """Tell whether *peer*, as in an ASGI scope, needs no credential."""
        return peer is not None and (peer[0] in self._known or self._look(peer[0]))

    def _look(self, host: str) -> bool:
        # Only those that are admitted are kept, so that strangers take no place.
        return lies_in(hop_number(host), self._networks) and self._known.keep(host, True)
