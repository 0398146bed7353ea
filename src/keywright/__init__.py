"""
API keys for products whose users sign in through Auth0.

`keywright.keys` says what a key is, `keywright.service` what is done with keys, every other room is a plug for one
technology, and `keywright.app` puts the plugs in. ARCHITECTURE.md draws the house.
"""

__version__ = "0.2.0"
