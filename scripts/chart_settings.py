"""
Write the names of the settings into the schema of the chart's values, so that an install refuses a mistyped one.

    python scripts/chart_settings.py            writes them
    python scripts/chart_settings.py --check    exit code 1 when they are not up to date
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from keywright.agent.settings import AgentSettings
from keywright.config import PREFIX, Settings
from keywright.config_values import secret_names

TARGET = Path(__file__).parent.parent / "deploy" / "chart" / "values.schema.json"

# Values of the chart set these.
_OF_THE_SERVICE = frozenset(
    {"auth0_domain", "issuer", "audience", "console_client_id", "host", "port", "metrics"}
    | {"tls_certificate", "tls_key"}
)
_OF_THE_AGENT = frozenset({"url", "agent_listen", "agent_access", "agent_name", "allow_http"})


def names(kind: type[BaseModel], others: frozenset[str]) -> list[str]:
    """Give the variables of a kind of settings that `settings` of the chart may have: no secrets, and not *others*."""
    return sorted(f"{PREFIX}{name.upper()}" for name in kind.model_fields.keys() - secret_names(kind) - others)


def schema(text: str) -> str:
    """Give the schema with the names of today."""
    found: dict[str, Any] = json.loads(text)
    for definition, kind, others in (
        ("serviceSettings", Settings, _OF_THE_SERVICE),
        ("agentSettings", AgentSettings, _OF_THE_AGENT),
    ):
        properties = {name: {"$ref": "#/definitions/setting"} for name in names(kind, others)}
        found["definitions"][definition]["properties"] = properties
    return json.dumps(found, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """Write the schema, or compare it."""
    text = TARGET.read_text()
    if arguments != ["--check"]:
        TARGET.write_text(schema(text))
    elif text != schema(text):
        print(f"{TARGET} is not up to date: python scripts/{Path(__file__).name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
