"""
The use cases of operators, on the keys of all organizations: find, read, revoke one or many; organizations; the audit
log of all. No module here creates, rotates, changes or verifies a key.
"""
