"""Editing: words of a recording replaced, removed or added in its own voice."""
