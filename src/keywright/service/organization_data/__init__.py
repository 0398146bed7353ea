"""All data of one organization: its export, and its erasure."""
