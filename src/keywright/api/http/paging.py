"""Pages of a list, newest first, and the link to the next page (RFC 8288)."""

import base64
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class PageQuery(BaseModel):
    """The parameters of every list; an unknown one is refused: a mistyped filter must not show all entries."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=100, ge=1, le=1000, description="The most entries of a page")
    # 16 bytes in base64url; the last of the 22 characters carries two bits only.
    cursor: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{21}[AQgw]$")] | None = Field(
        default=None, description='The start of the page, from the previous page\'s `Link: <…>; rel="next"`'
    )

    @property
    def before(self) -> UUID | None:
        """The id below which the page begins; None for the first page."""
        return None if self.cursor is None else UUID(bytes=base64.urlsafe_b64decode(self.cursor + "=="))

    def link_to(self, path: str, following: UUID | None) -> dict[str, str]:
        """Give the `Link` header to the page below *following*, with all other parameters of this request."""
        if following is None:
            return {}
        cursor = base64.urlsafe_b64encode(following.bytes).decode().rstrip("=")
        filters: Mapping[str, Any] = self.model_dump(mode="json", exclude={"limit", "cursor"}, exclude_none=True)
        return {"Link": f'<{path}?{urlencode({"limit": self.limit, **filters, "cursor": cursor})}>; rel="next"'}
