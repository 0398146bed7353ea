"""
A Django project in one file, guarded view by view: python examples/django_app.py runserver --noreload 8000

To guard it whole, put "keywright.client.integrations.django.KeywrightDjangoMiddleware" into MIDDLEWARE, and "EXEMPT"
into KEYWRIGHT.
"""

import os
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path

from keywright.client.integrations.django import require_key

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    KEYWRIGHT={"URL": os.environ["KEYWRIGHT_URL"], "VERIFIER": os.environ["KEYWRIGHT_VERIFIER"]},
)


@require_key(scopes=["reports:read"])
def reports(request: HttpRequest) -> JsonResponse:
    """Say whose key the request came with."""
    return JsonResponse({"organisation": str(request.keywright.key.org_id), "reports": []})


def healthy(request: HttpRequest) -> JsonResponse:
    """Answer anybody."""
    return JsonResponse({"status": "ok"})


urlpatterns = [path("reports", reports), path("healthz", healthy)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
