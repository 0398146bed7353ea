"""How much is asked of a system while its history is recorded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is asked of the system, in a second and all in all; see `nodes_child.Orders` and `sdk_child.Orders`."""

    operations: int
    keys_in_a_second: float = 8.0
    singles: int = 3
    single_pause: float = 0.03
    batches: int = 2
    batch_pause: float = 0.1
    in_a_batch: int = 30
    sdk_at_once: int = 8
    sdk_pause: float = 0.02
    idempotent: bool = False
    """Whether the customer sends a creation again as the same one."""
