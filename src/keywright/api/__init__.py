"""The HTTP edge: routes, what comes in, what goes out, and the only place that knows statuses."""
