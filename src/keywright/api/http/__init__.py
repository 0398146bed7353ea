"""The parts that every operation of the HTTP API shares: routing, credentials, bodies, problems, the access log."""
