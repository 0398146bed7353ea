"""
The command line. Wiring, like `keywright.app`: it may know every room.

Every command imports what it needs when it runs, so that `keywright --help` and `keywright keys` start at once and the
latter needs nothing of the server. Only `exits` says how a command ends.
"""

import signal
import sys

_SENTENCE = "This command needs packages that are not installed: pip install 'keywright[server]'"


def main() -> None:
    """Run the command that the process was started with."""
    try:
        _run()
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "keywright":
            raise
        sys.exit(_SENTENCE)
    except KeyboardInterrupt:
        # As Typer ends a command.
        sys.exit(128 + signal.SIGINT)


def _run() -> None:
    # As containers start the service: without options there is nothing to read, and Typer takes as long to import as
    # the database takes to open.
    if sys.argv[1:] == ["serve"]:
        from keywright.cli.server.serve import run

        run()
        return
    from keywright.cli.application import app

    app(prog_name="keywright")
