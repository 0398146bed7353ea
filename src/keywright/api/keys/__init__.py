"""The management of API keys over HTTP: the operations, their requests and their answers."""
