"""What a process that serves does without until it is up. Most of a start is imports; this halves what they cost."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Loaded by libraries where they are there, and not missed where they are not: structlog and httpx would write to a
# terminal with rich, and FastAPI would say of models of pydantic's first version that it takes none.
_UNUSED = ("pydantic.v1", "rich")


@contextmanager
def sparing() -> Iterator[None]:
    """
    Import and build in the block without the collector, and without what no service uses.

    What is there at the end of the block stays as long as the process: the collector never looks at it again. A block
    inside another one does nothing.
    """
    if not gc.isenabled():
        yield
        return
    # It would walk again and again through modules and classes of which none is garbage: a sixth of the time.
    gc.disable()
    hidden = [name for name in _UNUSED if name not in sys.modules]
    # How Python says of a module that it cannot be imported.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
        gc.freeze()
        gc.enable()
