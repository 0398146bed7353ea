"""
The agent: a process beside an API server that checks keys without a database.

It is the service's use case of checking (`service.checking`) behind the service's own routes (`api.verify`). Keys are
looked up at the service, changes come by the feed, and usage goes back in reports, as in an in-process verifier
(`client.verifier`). This package only puts them together.
"""
