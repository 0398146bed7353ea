"""
Other people's API keys, doing the same work in the same run.

Each file `peer_*` runs in an environment of its own, installed from the peer's registry under `.cache/bench`, and knows
nothing of Keywright. It sets its peer up as the peer's documentation does, starts its server, prints one JSON line
(`protocol.py`), and serves until it is ended. `contestants.toml` says who they are and what was configured.
"""
