"""
The use cases, and the ports that they need.

This package reads no clock, environment or randomness of its own, and knows no database, HTTP or token format.
"""
