"""
djangorestframework-api-key: its permission on a view of Django REST framework, served by gunicorn, on SQLite.

    python peer_django.py FOLDER

It has no cache. One worker with threads, since its default worker would close every connection after an answer;
connections to the database are kept.
"""

import socket
import sys
from pathlib import Path

import django
import protocol
from django.conf import settings
from gunicorn.app.base import BaseApplication

THREADS = 4


def configure(folder: Path) -> None:
    """Set Django up with what the package needs, and make its tables."""
    settings.configure(
        SECRET_KEY="a secret of the benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="peer_django_urls",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "rest_framework_api_key",
        ],
        USE_TZ=True,
        REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "django.db",
                "CONN_MAX_AGE": None,
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "timeout": 30,
                    "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
                },
            }
        },
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)


class Application(BaseApplication):
    """gunicorn, configured here and told nothing by its command line."""

    def __init__(self, url: str, listener: socket.socket) -> None:
        self._url = url
        self._listener = listener
        super().__init__()

    def load_config(self) -> None:
        """Say how to serve."""
        from rest_framework_api_key.models import APIKey

        _, key = APIKey.objects.create_key(name="bench")
        told = {
            "create": protocol.request("POST", "/keys", {"name": "bench"}, Content_Type="application/json"),
            "verify": protocol.request("GET", "/verify", Authorization=f"Api-Key {key}"),
            "in_process_ns": protocol.call_ns(lambda: APIKey.objects.is_valid(key)),
            "bare_ns": protocol.bare_ns(key),
        }
        options = {
            "bind": f"fd://{self._listener.fileno()}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "keepalive": 75,
            "worker_connections": 1000,
            "loglevel": "warning",
            "post_worker_init": lambda worker: protocol.announce(self._url, **told),
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        """Give the WSGI application."""
        from django.core.wsgi import get_wsgi_application

        return get_wsgi_application()


def main() -> None:
    """Serve."""
    configure(Path(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    host, port = listener.getsockname()
    Application(f"http://{host}:{port}", listener).run()


if __name__ == "__main__":
    main()
