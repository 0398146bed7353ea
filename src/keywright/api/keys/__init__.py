"""The management of API keys over HTTP: the operations, what they read, and what they answer."""
