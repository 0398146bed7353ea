"""What is exported and compared: the chains of all organizations, and all data of one; on both engines."""
