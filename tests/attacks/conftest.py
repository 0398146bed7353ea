"""The databases that the attacks run on."""

from pathlib import Path

import pytest

from tests.conftest import database_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a fresh database of each kind."""
    return database_url(request.param, tmp_path, request)
