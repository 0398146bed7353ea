"""What a process that serves does without until it is up."""

import gc
import subprocess
import sys
import textwrap

import pytest

from keywright.cli.starting import sparing
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
    """What writes to terminals is not loaded, and nobody misses it."""
    code = """
        import sys
        from keywright.cli.starting import sparing
        with sparing():
            from keywright import app
            app.from_environment()
        print("rich" in sys.modules)
    """
    assert python(code) == ["False"]


def test_what_was_hidden_is_there_afterwards() -> None:
    """The end of a start leaves nothing that cannot be imported."""
    code = """
        from keywright.cli.starting import sparing
        with sparing():
            try:
                import rich
            except ImportError:
                print("hidden")
        import rich.table
        print(rich.table.Table.__name__)
    """
    assert python(code) == ["hidden", "Table"]


def test_what_is_loaded_already_stays() -> None:
    """A process that has loaded it keeps it."""
    code = """
        import rich
        from keywright.cli.starting import sparing
        with sparing():
            import rich as again
        print(again is rich)
    """
    assert python(code) == ["True"]


def fail_without_the_collector() -> None:
    assert not gc.isenabled()
    raise ValueError("a failure")


def test_the_collector_is_back() -> None:
    """After the start garbage is collected again, also after one that failed; what the start made is left alone."""
    before = gc.get_freeze_count()
    try:
        with pytest.raises(ValueError, match="a failure"), sparing():
            fail_without_the_collector()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_one_block_in_another() -> None:
    """The outer block decides when the start is over."""
    try:
        with sparing():
            with sparing():
                pass
            assert not gc.isenabled()
    finally:
        gc.unfreeze()


def test_the_collector_comes_back() -> None:
    """Cyclic garbage of a process that is up is collected, if later than elsewhere; what the start built never is."""
    code = """
        import gc, weakref
        from keywright.cli.starting import sparing
        class Knot:
            def __init__(self):
                self.itself = self
        with sparing():
            print(gc.isenabled())
            at_start = weakref.ref(Knot())
        print(gc.isenabled())
        later, many = weakref.ref(Knot()), [[] for _ in range(100_000)]
        print(at_start() is None, later() is None)
    """
    assert python(code) == ["False", "True", "False True"]
