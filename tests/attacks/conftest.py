"""Fixtures of the attacks: an organization, and an API server."""

from tests.api.conftest import caller, credential, verifier

__all__ = ["caller", "credential", "verifier"]
