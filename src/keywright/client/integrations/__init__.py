"""
Verification of keys in front of an application, one module per framework: `asgi`, `wsgi`, `flask`, `django`, `fastapi`.

Import each module by its own name. It imports its framework only when it is used.
"""
