"""A database of its own for each test."""

from pathlib import Path

import pytest

from tests.service.recovery.restoring import Live, live


@pytest.fixture
def database(tmp_path: Path) -> Live:
    """Give a migrated database in a file."""
    return live(tmp_path)
