"""The operator's policy for keys, from the settings. The shapes of fields are checked elsewhere."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keywright.keys.scopes import is_of
from keywright.service.management.refusals import Flaw


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    The rules for every organization.

    `environments` are those of keys, the default of new keys first. `max_life` counts from the creation of the current
    secret, so that a rotation allows a later expiry; a key without an expiry gets the longest life. With
    `expiry_required` every new key must name its expiry. `max_active` is the most active keys of an organization.
    `scopes` maps each allowed scope to its description; None allows any well-formed scope.
    """

    environments: tuple[str, ...]
    max_life: timedelta | None = None
    expiry_required: bool = False
    max_active: int | None = None
    scopes: Mapping[str, str] | None = None

    def environment_of(self, requested: str | None) -> str:
        """Give the environment of a new key: the requested one, or else the first."""
        return self.environments[0] if requested is None else requested

    def expiry(self, requested: datetime | None, *, since: datetime) -> datetime | None:
        """Give the expiry of a key with a secret created at *since*: the requested one, or else the latest allowed."""
        if requested is None and self.max_life is not None and not self.expiry_required:
            return since + self.max_life
        return requested

    def flaws(
        self,
        *,
        now: datetime,
        since: datetime,
        environment: str | None = None,
        expires_at: tuple[datetime | None] | None = None,
        scopes: tuple[str, ...] = (),
    ) -> list[Flaw]:
        """
        Give the flaws of the given fields; a field that is not given is not checked.

        Args:
            now: The time of the command.
            since: When the key's current secret was created.
            environment: The environment of a new key.
            expires_at: The result of `expiry` in a tuple, because None is an expiry too.
            scopes: The scopes to grant.
        """
        found = [*self._flaws_in_scopes(scopes)]
        if environment is not None and environment not in self.environments:
            known = ", ".join(self.environments)
            found.append(Flaw("environment", f"There are these environments: {known}.", "environment_unknown"))
        if expires_at is not None and (flaw := self._flaw_in_expiry(*expires_at, now=now, since=since)) is not None:
            found.append(flaw)
        return found

    def _flaw_in_expiry(self, expires_at: datetime | None, *, now: datetime, since: datetime) -> Flaw | None:
        if expires_at is None:
            return Flaw("expires_at", "Every key has to expire.", "expiry_required") if self.expiry_required else None
        if expires_at <= now:
            return Flaw("expires_at", "It has to be in the future.", "expiry_in_the_past")
        if self.max_life is not None and expires_at > since + self.max_life:
            latest = f"at most {self.max_life.days} days after its secret was made"
            return Flaw("expires_at", f"A key has to expire {latest}.", "expiry_too_late")
        return None

    def _flaws_in_scopes(self, scopes: tuple[str, ...]) -> Iterator[Flaw]:
        for index, scope in enumerate(scopes):
            if self.scopes is not None and not is_of(self.scopes, scope):
                yield Flaw("scopes", "There is no such scope.", "scope_unknown", (index,))
