"""The two views of `peer_django.py`: a key is created as the package's documentation does it, and one is required."""

from django.urls import path
from rest_framework.decorators import api_view, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import HasAPIKey


@api_view(["POST"])
def create(request: Request) -> Response:
    """Create a key. Anybody may."""
    record, key = APIKey.objects.create_key(name=request.data["name"])
    return Response({"id": record.id, "key": key}, status=201)


@api_view(["GET"])
@permission_classes([HasAPIKey])
def verify(request: Request) -> Response:
    """Answer a request with a valid key."""
    return Response({"valid": True})


urlpatterns = [path("keys", create), path("verify", verify)]
