"""
The management of keys: the use cases of principals, the policy, and the audit log.
"""
