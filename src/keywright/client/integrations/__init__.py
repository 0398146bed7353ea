"""
Checking keys in front of an application, one module a framework: `asgi`, `wsgi`, `flask`, `django`, `fastapi`.

Each is imported by its own name, and imports its framework when it is used.
"""
