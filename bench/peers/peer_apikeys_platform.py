"""
apikeys-platform: its FastAPI dependency, as its README mounts it, on PostgreSQL, which it names for production.

    python peer_apikeys_platform.py FOLDER DATABASE_URL

It has no cache. Uses are counted, which is its default.
"""

import asyncio
import sys
from typing import Annotated

import protocol
from apikeys import APIKey, APIKeyClient, APIKeyDepends, KeyMetadata, create_tables
from fastapi import Depends, FastAPI, Request


def main() -> None:
    """Serve."""
    database_url = sys.argv[2]
    asyncio.run(create_tables(database_url))
    client = APIKeyClient(database_url, signing_secret="a secret of the benchmark " * 2, environment="live")
    application = FastAPI()
    organization: list[str] = []

    @application.middleware("http")
    async def attach(request: Request, call_next):
        request.state.apikeys_client = client
        return await call_next(request)

    @application.get("/verify")
    async def verify(key: Annotated[APIKey, Depends(APIKeyDepends())]) -> dict[str, object]:
        return {"valid": True, "id": str(key.id), "name": key.metadata.name}

    @application.post("/keys", status_code=201)
    async def create(metadata: KeyMetadata) -> dict[str, object]:
        made = await client.create_key(organization[0], metadata=metadata)
        return {"id": str(made.key.id), "key": made.plaintext}

    async def when_up(url: str) -> None:
        found, _ = await client.get_or_create_organization("bench")
        organization.append(str(found.id))
        metadata = KeyMetadata(name="bench")
        keys = [(await client.create_key(organization[0], metadata=metadata)).plaintext for _ in range(protocol.KEYS)]
        protocol.announce(
            url,
            create=protocol.request("POST", "/keys", {"name": "bench"}, Content_Type="application/json"),
            verify=[protocol.request("GET", "/verify", X_API_Key=key) for key in keys],
        )

    protocol.serve(application, when_up)


if __name__ == "__main__":
    main()
