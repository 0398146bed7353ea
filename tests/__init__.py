"""The tests. What several of them assert with is told to pytest here, before any of it is imported."""

import pytest

pytest.register_assert_rewrite(
    "tests.client.integration_contract",
    "tests.storage.contract",
    "tests.storage.checking_contract",
    "tests.storage.making",
)
