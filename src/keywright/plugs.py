"""Wiring: the parts that reach outside the process, and the turns that are measured."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from keywright import shared_wiring, telemetry
from keywright.auth.access_token import AccessTokens, VerifiedTokens
from keywright.auth.jwks import KeySet
from keywright.config import Settings
from keywright.console.ports import IdentityProvider
from keywright.console_wiring import identity_provider
from keywright.rate_limiting.engine import RunningLimiter
from keywright.service.checking.ports import Seconds
from keywright.service.ports import Authenticator, Clock, Entropy, NewId, SigningKeys
from keywright.service.turns import Turns
from keywright.storage.engine import RunningStore, open_store
from keywright.system import boot_seconds, new_id, utc_now


@dataclass(frozen=True, slots=True)
class Plugs:
    """The parts that reach outside the process. Tests replace these and nothing else."""

    store: RunningStore
    limiter: RunningLimiter
    authenticator: Authenticator
    signing_keys: SigningKeys
    identity_provider: Callable[[Authenticator], IdentityProvider]
    clock: Clock
    entropy: Entropy
    new_id: NewId
    now: Seconds
    monotonic: Seconds


def plugs_of(settings: Settings) -> Plugs:
    """Build the parts that *settings* select; no connection is opened yet."""
    key_set = KeySet(settings.issuer, on_fetch=lambda outcome: telemetry.key_set_fetches.labels(outcome).inc())
    return Plugs(
        store=open_store(settings.database_url.get_secret_value(), on_batch=telemetry.observe_commit),
        limiter=shared_wiring.rate_limiter(settings, monotonic=boot_seconds),
        authenticator=AccessTokens(
            issuer=settings.issuer,
            audience=settings.audience,
            key_set=key_set,
            clock=utc_now,
            org_claim=settings.org_claim,
            permissions=settings.permissions,
            org_format=settings.org_claim_format,
            grantable_claim=settings.grantable_scopes_claim,
            verified=VerifiedTokens(),
        ),
        signing_keys=key_set,
        identity_provider=identity_provider(settings, key_set, utc_now),
        clock=utc_now,
        entropy=os.urandom,
        new_id=new_id,
        now=time.time,
        monotonic=boot_seconds,
    )


def turns_of(plugs: Plugs, queue: str, *, most: int = 256, alone: int = 64, together: int = 8) -> Turns:
    """Make the turns of organizations in one queue, with its waits measured under that name."""
    return Turns(
        plugs.monotonic,
        most=most,
        alone=alone,
        together=together,
        longest=4096,
        longest_of_share=1024,
        on_wait=telemetry.queue_wait_seconds.labels(queue).observe,
    )


def few_turns(plugs: Plugs) -> Turns:
    """Make the turns of look-ups that any caller causes, known or not; those of keys have others."""
    return Turns(plugs.monotonic, most=8, alone=4, together=4, longest=2048, longest_of_share=1024)
