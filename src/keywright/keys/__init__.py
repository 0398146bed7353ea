"""
API keys: text, pair, record, verdict, cache, rate limits, usage. Pure: no clock, no randomness, no I/O, no settings.

It needs only the standard library and `cryptography`, because it is installed with the client.
"""
