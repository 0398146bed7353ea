"""The two views of `peer_django.py`: a key is created as the package's documentation does it, and one is required."""

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import HasAPIKey


class Create(APIView):
    """Creates a key. Whoever asks may."""

    def post(self, request: Request) -> Response:
        """Create."""
        record, key = APIKey.objects.create_key(name=request.data["name"])
        return Response({"id": record.id, "key": key}, status=201)


class Verify(APIView):
    """Answers whoever shows a valid key."""

    permission_classes = (HasAPIKey,)

    def get(self, request: Request) -> Response:
        """Answer."""
        return Response({"valid": True})


urlpatterns = [path("keys", Create.as_view()), path("verify", Verify.as_view())]
