"""Keywright's own measurements. Ratios against a reference of the same run; absolute figures belong to one machine."""
