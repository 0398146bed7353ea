"""What the tests of the chart share: the program that renders and reads it, and what it made of all sets of values."""

import pytest
import yaml

from tests.chart.rendering import NEWEST, OLDEST, SETS, Outcome, Program, obtain


@pytest.fixture(scope="session")
def program() -> Program:
    """The program that renders charts, reads documents and parses queries."""
    return obtain()


@pytest.fixture(scope="session", params=[NEWEST, OLDEST])
def rendered(request: pytest.FixtureRequest, program: Program) -> dict[str, Outcome]:
    """Every set of values beside the chart, rendered for the newest and for the oldest Kubernetes."""
    values = {name: yaml.safe_load(text) for name, text in SETS.items()}
    return program.render(values, kube_version=request.param)
