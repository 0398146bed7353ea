"""
Recovery: heads and events of the audit log that are kept elsewhere, and what they prove of a restored database.
"""
