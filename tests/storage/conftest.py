"""What tests of the stores share."""

import pytest

pytest.register_assert_rewrite("tests.storage.contract", "tests.storage.making")
