"""
Who is measured beside Keywright: which release from which registry, on which database, and how it was set up.

Releases are named here and nowhere else, so that no lock of the project knows them; what they need in turn is resolved
when they are installed. `differs` says where the work is more or less than Keywright's.
"""

from dataclasses import dataclass
from typing import Literal

_UVICORN = ("uvicorn[standard]==0.54.0",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """
    A peer, or one of two ways to run it.

    Args:
        registry: Where `requirements` come from.
        program: Its file beside this one.
        arguments: What its program is told behind its folder.
        database: Which engine it keeps keys in.
        configured: How it was set up.
        differs: Where its work differs from ours.
        creates: Whether it is asked to create keys; not where nothing of them would be stored.
        prepared_by: A command of its own environment that has to succeed before its program is started.
    """

    name: str
    registry: Literal["PyPI", "npm"]
    requirements: tuple[str, ...]
    program: str
    arguments: tuple[str, ...] = ()
    database: Literal["SQLite", "PostgreSQL"]
    configured: str
    differs: str
    creates: bool = True
    prepared_by: tuple[str, ...] = ()


_BETTER_AUTH = (
    "better-auth@1.7.5",
    "@better-auth/api-key@1.7.5",
    "@better-auth/core@1.7.5",
    # Exactly what the plugin asks for; with anything newer npm refuses to install it.
    "@better-auth/utils@0.4.2",
    "better-call@1.4.0",
    "better-sqlite3@12.11.1",
)
_SESSION = (
    "Its Node handler on Node's http server; a signed-in user's session creates, with the session's cookie cache on; "
    "verification is `auth.api.verifyApiKey` behind a route. Both its rate limits are off: the plugin's default of 10 "
    "verifications a day would end the measurement."
)

CONTESTANTS = (
    Contestant(
        name="Better Auth",
        registry="npm",
        requirements=_BETTER_AUTH,
        program="peer_better_auth.mjs",
        arguments=("cached",),
        database="SQLite",
        configured=f"{_SESSION} `storage: 'secondary-storage'` with `fallbackToDatabase`, the secondary storage a Map "
        "of the process, which is quicker than the Redis it is documented with.",
        differs="Less: no signature in its keys, no audit trail. More: it writes every use to the database before it "
        "answers, and its session is looked up for each creation.",
    ),
    Contestant(
        name="Better Auth, in memory only",
        registry="npm",
        requirements=_BETTER_AUTH,
        program="peer_better_auth.mjs",
        arguments=("memory",),
        database="SQLite",
        configured=f"{_SESSION} Keys in a Map of the process alone, `deferUpdates` on: the most that it can do.",
        differs="Less: no key survives the process, so creation is not compared; a second process would not know of a "
        "revocation.",
        creates=False,
    ),
    Contestant(
        name="keypal",
        registry="npm",
        requirements=("keypal@0.2.0", "drizzle-orm", "pg"),
        program="peer_keypal.mjs",
        database="PostgreSQL",
        configured="DrizzleStore on node-postgres, `cache: true`.",
        differs="Less: no audit trail. Other processes learn of a revocation when their cache expires, after 60 s.",
    ),
    Contestant(
        name="djangorestframework-api-key",
        registry="PyPI",
        requirements=(
            "djangorestframework-api-key==3.1.0",
            "djangorestframework==3.18.3",
            "django==5.2.19",
            "gunicorn==27.0.1",
        ),
        program="peer_django.py",
        database="SQLite",
        configured="`HasAPIKey` on a view, `APIKey.objects.create_key` in another; gunicorn, one worker, 4 threads, "
        "kept connections to the database. It has no cache.",
        differs="Less: it says valid and not whose key it is; whoever asks may create; no use is noted, no trail kept. "
        "More: it asks the database every time, so a revocation counts at once.",
    ),
    Contestant(
        name="keyshield",
        registry="PyPI",
        requirements=("keyshield[core,fastapi]==2.0.1", "sqlalchemy[asyncio]==2.1.9", "aiosqlite", *_UVICORN),
        program="peer_keyshield.py",
        database="SQLite",
        configured="Its FastAPI router, `CachedApiKeyService` with aiocache in memory, Argon2 with a pepper; uvicorn "
        "with uvloop and httptools, one worker. The wait of 0.1 to 0.3 s that it adds to every verification is "
        "switched off (`min_delay`, `max_delay`): left on, a verification takes 200 ms.",
        differs="Less: whoever asks may create; no trail. More: every use is written before it answers, and a key that "
        "is not cached, or new, costs an Argon2 of 64 MiB.",
    ),
    Contestant(
        name="fastapi-api-key",
        registry="PyPI",
        requirements=(
            "fastapi-api-key==1.2.0",
            "keyshield[core,fastapi]==2.0.1",
            "sqlalchemy[asyncio]==2.1.9",
            "aiosqlite",
            *_UVICORN,
        ),
        program="peer_keyshield.py",
        database="SQLite",
        configured="keyshield under its former name: all it does is to import keyshield and warn. Set up as keyshield.",
        differs="As keyshield.",
    ),
    Contestant(
        name="apikeys-platform",
        registry="PyPI",
        requirements=("apikeys-platform[postgresql,fastapi]==0.2.0", *_UVICORN),
        program="peer_apikeys_platform.py",
        database="PostgreSQL",
        configured="`APIKeyDepends` on a FastAPI route, `APIKeyClient.create_key` in another; uvicorn with uvloop and "
        "httptools, one worker. It has no cache.",
        differs="Less: whoever asks may create; no trail. More: it reads and writes the database every time, so a "
        "revocation counts at once.",
    ),
    Contestant(
        name="LiteLLM proxy",
        registry="PyPI",
        requirements=("litellm[proxy]==1.108.7", "prisma==0.15.0"),
        program="peer_litellm.py",
        database="PostgreSQL",
        configured="The proxy with a master key and virtual keys, one worker, as its documentation starts it.",
        differs="More: a virtual key's budgets and limits are looked at as well.",
        prepared_by=("prisma", "generate", "--schema", "{packages}/litellm/proxy/schema.prisma"),
    ),
)
