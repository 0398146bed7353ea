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

_DJANGO_APPS = ("django.contrib.auth", "django.contrib.contenttypes")


def configure(folder: Path) -> None:
    """Set Django up with what the package needs, and make its tables."""
    database = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": folder / "django.db",
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
        },
    }
    settings.configure(
        SECRET_KEY="a secret of the benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="peer_django_urls",
        INSTALLED_APPS=[*_DJANGO_APPS, "rest_framework", "rest_framework_api_key"],
        USE_TZ=True,
        REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
        DATABASES={"default": database},
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

        keys = [APIKey.objects.create_key(name="bench")[1] for _ in range(protocol.KEYS)]
        create = protocol.request("POST", "/keys", {"name": "bench"}, Content_Type="application/json")
        verify = [protocol.request("GET", "/verify", Authorization=f"Api-Key {key}") for key in keys]
        options = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "threads": 4,
            "keepalive": 75,
            # It is paused while others are measured; that is no worker that hangs.
            "timeout": 0,
            "loglevel": "warning",
            "post_worker_init": lambda worker: protocol.announce(self._url, create=create, verify=verify),
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
    Application("http://127.0.0.1:{1}".format(*listener.getsockname()), listener).run()


if __name__ == "__main__":
    main()
