"""What leaves the database and is compared with it: heads, the audit log, all data of one organization."""
