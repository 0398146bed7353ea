"""The clients of proxies: whose request a proxy asks about, out of `X-Forwarded-For`."""

from collections.abc import Sequence

from keywright import telemetry
from keywright.keys.addresses import Network, client_address, forwarded_number, hop_number, lies_in, read_networks
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

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._trusted_numbers = read_networks(map(str, trusted))
        self._proxies: BoundedDict[str, int] = BoundedDict(_MOST_PROXIES)
        self._warned = False

    def address(self, peer: Peer | None, forwarded: Sequence[str]) -> str | None:
        """
        Give the address of the client; None where it is unknown.

        Args:
            peer: The proxy, as in an ASGI scope.
            forwarded: The values of all `X-Forwarded-For` headers.
        """
        host = None if peer is None else peer[0]
        address = client_address(host, forwarded, self._trusted)
        if address != client_address(host, (), ()):
            return address
        if forwarded:
            self._warn(host)
        return None

    def number(self, peer: Peer | None, forwarded: str | None) -> int:
        """
        Give the address of the client as `addresses.packed` does; 0 where it is unknown.

        Args:
            peer: As for `address`.
            forwarded: The value of the only `X-Forwarded-For` header; None without one.
        """
        host = "" if peer is None else peer[0]
        if forwarded is not None:
            proxy = self._proxies.get(host) or self._trusted_proxy(host)
            found = proxy and forwarded_number(forwarded, self._trusted_numbers)
            if found != proxy:
                return found
            self._warn(host)
        return 0

    def _trusted_proxy(self, host: str) -> int:
        """Give the address of a trusted proxy as `addresses.packed` does; 0 for any other host."""
        number = hop_number(host)
        return self._proxies.keep(host, number) if lies_in(number, self._trusted_numbers) else 0

    def _warn(self, host: str | None) -> None:
        if not self._warned:
            self._warned = True
            proxy = client_address(host, (), ())
            _log.warning("X-Forwarded-For is not trusted; name the proxy in KEYWRIGHT_TRUSTED_PROXIES", proxy=proxy)
