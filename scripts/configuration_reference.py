"""
Write docs/reference/configuration.md out of the settings' own descriptions.

    python scripts/configuration_reference.py            writes it
    python scripts/configuration_reference.py --check    exit code 1 when it is not up to date
"""

import sys
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from keywright.agent.settings import AgentSettings
from keywright.config import PREFIX, Settings
from keywright.config_edge import EdgeSettings
from keywright.config_values import secret_names

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "configuration.md"

_HEAD = """\
# Settings

<!-- Written by scripts/configuration_reference.py; change the descriptions in src/keywright/config*.py instead. -->

The service reads its settings from environment variables, once, when it starts. One that is missing or malformed stops
the start with a sentence that names it; `keywright doctor` looks at all of them, and finds mistyped names too.

| variable | meaning | default |
|---|---|---|
"""

_TAIL = """
`keywright migrate`, `audit` and `verifiers` read the first three and no others. Lists are separated by commas.
Each secret may come from a file instead, whose path is in the variable of the same name with `_FILE` at its end:
{secrets}. One line end at the end of the file is left out. With both variables
set, the start is refused. `keywright serve --host`, `--port` and `--workers` go before the variables of the same name.

## The agent

[`keywright agent`](../operate/agent.md) reads these and no others; each secret from a file, too:

| variable | meaning | default |
|---|---|---|
{agent}
## The command line as a client

`keywright keys` calls a running service and reads none of the above:

| variable | meaning | default |
|---|---|---|
| `KEYWRIGHT_URL` | Where the service is. | `http://127.0.0.1:8080` |
| `KEYWRIGHT_TOKEN` | The access token to call it with. There is no option for it, since shells keep them. | – |
| `KEYWRIGHT_TOKEN_FILE` | The path of a file with the access token, instead. | – |
| `KEYWRIGHT_ALLOW_HTTP` | `1`: `http://` to another machine is allowed. Everyone on the way can read the token. | – |
"""


def reference() -> str:
    """Write the page."""
    agent = "".join(_rows(AgentSettings))
    return f"{_HEAD}{''.join(_rows(Settings))}{_TAIL.format(secrets=_secrets(), agent=agent)}"


def _rows(kind: type[BaseModel]) -> list[str]:
    """Write a row for each setting; those of the edge, which pydantic has in front, come last."""
    names = sorted(kind.model_fields, key=lambda name: name in EdgeSettings.model_fields)
    return [_row(name, kind.model_fields[name]) for name in names]


def _secrets() -> str:
    names = [f"`{PREFIX}{name.upper()}_FILE`" for name in Settings.model_fields if name in secret_names(Settings)]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _row(name: str, field: FieldInfo) -> str:
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `{PREFIX}{name.upper()}` | {meaning} | {_default(field)} |\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, tuple):
        value = ",".join(value)
    if isinstance(value, bool):
        value = str(value).lower()
    return "–" if value in (None, "", PydanticUndefined) else f"`{value}`"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments == ["--check"]:
        if not TARGET.exists() or TARGET.read_text() != reference():
            print(f"{TARGET} is not up to date: python {Path(__file__).name}", file=sys.stderr)
            return 1
        return 0
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(reference())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
