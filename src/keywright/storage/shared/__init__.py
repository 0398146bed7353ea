"""What both engines share: rows and their readers, statements that are the same, the group commit."""
