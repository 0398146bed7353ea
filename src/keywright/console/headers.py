"""The headers of the console's pages and answers, as data; docs/decisions/0045 has the reasons."""

from collections.abc import Mapping
from types import MappingProxyType

# No page has a form that a browser submits: a sign-out is a request of the page's script. So no form leads anywhere,
# also not one that somebody has injected.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types keywright",
    )
)
_DENIED = "accelerometer camera display-capture geolocation gyroscope magnetometer microphone midi payment usb"

SHUT: Mapping[str, str] = MappingProxyType(
    {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
)
"""Of every answer: nothing of another origin may hold, embed or learn of it."""

PAGE: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": POLICY,
        "Permissions-Policy": ", ".join(
            ["clipboard-write=(self)", "fullscreen=()", *(f"{feature}=()" for feature in _DENIED.split())]
        ),
        "X-Frame-Options": "DENY",
        **SHUT,
    }
)
"""Of pages. A page shows nothing of anybody before its script has asked, so it may be cached where `ETag` says so."""

NO_STORE: Mapping[str, str] = MappingProxyType({"Cache-Control": "no-store", **SHUT})
"""Of answers about a person or a sign-in."""
