"""
The command line. Wiring, like `keywright.app`: it may import every package.

Every command imports what it needs when it runs: `keywright --help` and `keywright keys` start fast, and the
latter needs no package of the server. Exit codes are in `exits`.
"""

import signal
import sys

_SENTENCE = "This command needs packages that are not installed: in a checkout of Keywright, pip install '.[server]'"


def main() -> None:
    """Run the command of `sys.argv`."""
    try:
        _run()
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "keywright":
            raise
        sys.exit(_SENTENCE)
    except KeyboardInterrupt:
        # That of a process which the signal ended, as shells give it.
        sys.exit(128 + signal.SIGINT)


def _run() -> None:
    # Containers start the service without options. Then click is not needed, and its import takes as long as opening
    # the database.
    if sys.argv[1:] == ["serve"]:
        from keywright.cli.server.serve import run

        run()
        return
    # Containers ask for their health every few seconds.
    if sys.argv[1:] in (["healthcheck"], ["healthcheck", "--ready"]):
        from keywright.cli.server.healthcheck import run as ask

        ask(ready="--ready" in sys.argv)
        return
    from keywright.cli.application import app

    app(prog_name="keywright")
