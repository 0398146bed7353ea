"""The use case of checking: from a presented text to a verdict, and the contracts that it needs."""
