"""
Everything on one machine: an issuer on loopback, two demo organisations, the service on a SQLite file.

For trying and developing, never for production: the issuer gives a token to whoever can read its folder.
"""
