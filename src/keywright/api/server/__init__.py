"""The HTTP server: uvicorn's protocol with bounds, and the fast path in front of its parser."""
