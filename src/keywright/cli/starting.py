"""How a process that serves starts: without what it does not need until it is up. Most of a start is imports."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# structlog and httpx load it to write to a terminal where it is installed, and do without where it is not.
_OPTIONAL = "rich"
# How many more objects there are than at the last collection before the next. What the requests under way hold is no
# garbage, and with Python's own 700 it is walked again and again: a twentieth of the time of a creation.
_COLLECT_AFTER = 20_000


@contextmanager
def sparing() -> Iterator[None]:
    """
    Import and build in the block without the collector, and without what no service uses.

    What is there at the end of the block stays as long as the process: the collector never looks at it again, and comes
    seldom. A block inside another one does nothing.
    """
    if not gc.isenabled():
        yield
        return
    # It would walk again and again through modules and classes of which none is garbage: a sixth of the time.
    gc.disable()
    hidden = _OPTIONAL not in sys.modules
    if hidden:
        # How Python says of a module that it cannot be imported.
        sys.modules[_OPTIONAL] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[_OPTIONAL]
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        gc.enable()
