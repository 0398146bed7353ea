"""
Checking keys inside an API server.

The names that this package exports are stable; its modules may change with any version.
"""

from keywright.client.verifier._calls import Timing
from keywright.client.verifier._verdicts import KeyInfo, Verdict
from keywright.client.verifier._verifier import AsyncVerifier, InProcessVerifier, Verifier

__all__ = ["AsyncVerifier", "InProcessVerifier", "KeyInfo", "Timing", "Verdict", "Verifier"]
