"""`keywright doctor`: one module a subject. The checks change nothing and return results."""
