"""
Management: what principals do with the keys of their organizations, the rules for it, and the audit log of it.
"""
