"""
The start of a service: `serve` is the command, `process` and `workers` answer requests in one process or in several.

`start` has the time limit of a start, `listening` the sockets, and `metrics` the server of the metrics.
"""
