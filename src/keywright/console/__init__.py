"""
What people see: the element `<keywright-keys>`, as files for browsers, and what serves them.

The files are in `static/`, as browsers run them: nothing is built. Here they are only read and sent; what the element
does, it does through the HTTP API.
"""
