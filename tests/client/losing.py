"""A network between a verifier and its service that loses answers to reports of uses."""

import httpx

from tests.client.fake_service import USAGE


class LosesReports(httpx.AsyncBaseTransport):
    """Delivers every request; while `losing`, the answers to reports of uses are lost on their way back."""

    def __init__(self) -> None:
        self._network = httpx.AsyncHTTPTransport()
        self.losing = True
        self.lost = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, and lose its answer where the test wants it."""
        response = await self._network.handle_async_request(request)
        if self.losing and request.url.path == USAGE:
            await response.aread()
            await response.aclose()
            self.lost += 1
            raise httpx.ReadError("the connection was reset")
        return response

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._network.aclose()
