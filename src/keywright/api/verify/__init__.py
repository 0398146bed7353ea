"""Checking over HTTP: `/verify`, `/verify/batch`, forward auth for proxies, and the fast path in front of them."""
