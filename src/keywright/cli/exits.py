"""The exit codes of commands, and the sentence on standard error before an exit."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from keywright.config import DatabaseSettings, DevSettings, Settings

FAILED = 1
MISUSED = 2
NOT_MIGRATED = 3
NOT_ALLOWED = 4
UNAVAILABLE = 5


def stop(sentence: str, code: int) -> NoReturn:
    """End the command with *sentence* on standard error."""
    print(sentence, file=sys.stderr)
    sys.exit(code)


@contextmanager
def ending_on(kind: type[Exception], *, code: int, before: str = "", advice: str = "") -> Iterator[None]:
    """End the command on an error of this *kind*: print *before*, its message, which is a sentence, and *advice*."""
    try:
        yield
    except kind as error:
        stop(f"{before}{error}{advice}", code)


def load_settings(**overrides: Any) -> "Settings":
    """Read the settings; *overrides* that are not None win over the environment. A wrong one ends the command."""
    from keywright import config

    with ending_on(config.SettingsError, code=MISUSED):
        return config.load(**{name: value for name, value in overrides.items() if value is not None})


def load_dev_settings(**overrides: Any) -> "DevSettings":
    """Read the settings of `keywright dev`, as `load_settings` does."""
    from keywright import config

    with ending_on(config.SettingsError, code=MISUSED):
        return config.load_dev(**overrides)


def load_database_settings() -> "DatabaseSettings":
    """Read the settings of the database only; a wrong one ends the command."""
    from keywright import config

    with ending_on(config.SettingsError, code=MISUSED):
        return config.load_database()


@contextmanager
def unwinding_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, so that `finally` clauses run, except while a server handles the signal."""
    former = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
