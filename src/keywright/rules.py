"""The rules of the operator, as the use cases take them: for new keys, and for how long rows are kept."""

from datetime import timedelta

from keywright.config import Settings
from keywright.service.management.commands import Policy
from keywright.service.management.retention import Retention


def policy(settings: Settings) -> Policy:
    """Give the rules for new keys."""
    return Policy(
        environments=settings.environments,
        max_life=None if settings.max_life_days is None else timedelta(days=settings.max_life_days),
        expiry_required=settings.require_expiry,
        max_active=settings.max_active_keys,
        rotations_per_hour=settings.rotations_per_hour,
        max_pairs=settings.max_pairs,
        scopes=settings.scopes,
    )


def retention(settings: Settings) -> Retention:
    """Give how long rows are kept."""
    kinds = ("events", "usage", "sources", "receipts", "sessions")
    return Retention.of_days(**{kind: getattr(settings, f"keep_{kind}_days") for kind in kinds})
