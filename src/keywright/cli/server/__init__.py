"""
The start of a service: `serve` is the command, `process` and `workers` answer requests in one process or in several.

`start` has the time limit of a start, `listening` the sockets, `metrics` the server of the metrics, and
`service_manager` what systemd is told. `healthcheck` is the command that asks whether a server is well.
"""
