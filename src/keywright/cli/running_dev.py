"""The demo in the current folder, as `keywright dev` describes it there: weaker than the environment's variables."""

import sys

from keywright.cli import exits
from keywright.dev.environment import DEFAULT_FOLDER, FILE_NAME, DevEnvironment, EnvironmentFileError

PATH = DEFAULT_FOLDER / FILE_NAME


def environment() -> DevEnvironment | None:
    """Read `.keywright-dev/env`; None if there is none. One that cannot be trusted ends the command."""
    with exits.ending_on(
        EnvironmentFileError, code=exits.MISUSED, advice=" Delete it, or set KEYWRIGHT_URL and KEYWRIGHT_TOKEN."
    ):
        return DevEnvironment.read(PATH)


def mention(what: str) -> None:
    """Note on standard error that the command uses the demo."""
    print(f"{what} ({PATH}).", file=sys.stderr)
