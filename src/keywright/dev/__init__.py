"""
A demo on one host: an issuer on loopback, two organizations, and the service on a SQLite file.

For trials and development, never for production: every process that can read the folder can sign tokens.
"""
