"""
Access tokens of one issuer, and the signing keys that verify them.

Reads JSON Web Tokens and fetches signing keys. Not here: the database, and requests to the service.
"""
