"""The start of a process that serves: what it does not import, and the garbage collector."""

import gc
import subprocess
import sys
import textwrap

import pytest

from keywright.cli.server.start import collector_off
from tests.live import clean_environment


def python(code: str) -> list[str]:
    """Run *code* in an interpreter that has imported nothing, and give the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=clean_environment({"KEYWRIGHT_ISSUER": "https://i.example/", "KEYWRIGHT_AUDIENCE": "a"}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_the_application_is_built_without_what_it_does_not_use() -> None:
    """A service is built without what writes to terminals, and without an HTTP client before its first fetch."""
    code = """
        import sys
        from keywright import app
        app.from_environment()
        print([name for name in ("rich", "pygments", "httpx") if name in sys.modules])
    """
    assert python(code) == ["[]"]


def fail_without_the_collector() -> None:
    assert not gc.isenabled()
    raise ValueError("a failure")


def test_the_collector_is_back() -> None:
    """After the start garbage is collected again, also after one that failed; what the start made is left alone."""
    before = gc.get_freeze_count()
    try:
        with pytest.raises(ValueError, match="a failure"), collector_off():
            fail_without_the_collector()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_one_block_in_another() -> None:
    """The outer block decides when the start is over."""
    try:
        with collector_off():
            with collector_off():
                pass
            assert not gc.isenabled()
    finally:
        gc.unfreeze()


def test_the_collector_comes_back() -> None:
    """Cyclic garbage of a process that is up is collected, if later than elsewhere; what the start built never is."""
    code = """
        import gc, weakref
        from keywright.cli.server.start import collector_off
        class Knot:
            def __init__(self):
                self.itself = self
        with collector_off():
            print(gc.isenabled())
            at_start = weakref.ref(Knot())
        print(gc.isenabled())
        later, many = weakref.ref(Knot()), [[] for _ in range(100_000)]
        print(at_start() is None, later() is None)
    """
    assert python(code) == ["False", "True", "False True"]
