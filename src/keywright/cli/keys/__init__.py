"""
`keywright keys …`: API keys through a running service. Needs no package of the server.

`management`, `activity` and `rotation` have the commands; `running_service` has the client, `lookup` finds the key that
a command names, `output` prints keys.
"""
