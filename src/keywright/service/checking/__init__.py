"""The use case of checking: from a presented text to a verdict, and its ports."""
