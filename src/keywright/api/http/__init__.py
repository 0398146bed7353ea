"""What happens to every request to the HTTP API: routing, credentials, bodies, conditions, problems, the access log."""
