"""
What a key is: its text, its pair, its record. Pure: no clock, no randomness, no I/O, no settings.

Needs nothing but the standard library and `cryptography`, because other people install it with the client.
"""
