"""The use cases of operators for an operator with a shell, on the database itself."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from keywright.cli import exits

if TYPE_CHECKING:
    from keywright.service.management.audit_log import Origin
    from keywright.storage.engine import RunningStore

Result = TypeVar("Result")


class Office:
    """The use cases of operators on a store, and the operator with a shell."""

    def __init__(self, store: "RunningStore", brand: str) -> None:
        import secrets

        from keywright import system
        from keywright.service.figures.reports import Figures
        from keywright.service.management.audit_log import SERVICE
        from keywright.service.management.commands import Policy
        from keywright.service.management.idempotency import Idempotency
        from keywright.service.management.management import Management
        from keywright.service.operator.bulk import BulkRevocations
        from keywright.service.operator.lookup import Lookup
        from keywright.service.principal import Organization, Principal
        from keywright.service.turns import Turns

        turns = Turns(system.boot_seconds, most=1, alone=1, together=1, longest=1, longest_of_share=1)
        idempotency = Idempotency(store, clock=system.utc_now, entropy=secrets.token_bytes)
        management = Management(
            store=store,
            clock=system.utc_now,
            entropy=secrets.token_bytes,
            new_id=system.new_id,
            brand=brand,
            policy=Policy(environments=()),
            idempotency=idempotency,
            turns=turns,
        )
        self.lookup: Lookup = Lookup(store=store, management=management)
        self.bulk: BulkRevocations = BulkRevocations(
            store=store, clock=system.utc_now, new_id=system.new_id, turns=turns
        )
        self.figures: Figures = Figures(store=store, clock=system.utc_now, turns=turns)
        self.principal: Principal = Principal(
            issuer=SERVICE,
            subject=SERVICE,
            client_id=None,
            organization=Organization.named(SERVICE, SERVICE),
            granted=frozenset(),
            operates=True,
        )
        self.store = store
        self._new_id = system.new_id

    def origin(self) -> "Origin":
        """Give the origin of one act: no request, and no address."""
        from keywright.service.management.audit_log import Origin

        return Origin(request_id=str(self._new_id()), address=None)

    async def revoke_all(self, org_id: UUID) -> int:
        """Revoke all keys of an organization for good, because it ends; give how many."""
        from keywright.keys.record import RevocationReason
        from keywright.service.management.refusals import Refused
        from keywright.service.operator.ports import Target

        reason = RevocationReason.CESSATION_OF_OPERATION
        preview = await self.bulk.preview(self.principal, self.origin(), Target(org_id=org_id), reason)
        if isinstance(preview, Refused):
            return 0
        started = await self.bulk.start(self.principal, self.origin(), preview.id)
        await self.bulk.work(_without_pause)
        done = await self.bulk.get(self.principal, preview.id) or started
        return 0 if isinstance(done, Refused) else done.revoked


async def _without_pause() -> None:
    return None


def run(work: Callable[[Office], Awaitable[Result]]) -> Result:
    """Run *work* on the database."""
    from keywright.cli import database

    brand = exits.load_database_settings().key_brand
    return database.run(lambda store: work(Office(store, brand)))
