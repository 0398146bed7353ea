"""
What is done with keys: the use cases, and the ports they need from the outside.

Reads no clock, environment or randomness of its own, and knows no database, no HTTP and no token format.
"""
