"""
Who is calling: access tokens of one issuer, and the keys that the issuer signs them with.

Knows JSON Web Tokens and fetches signing keys; knows no database and no HTTP request of ours.
"""
