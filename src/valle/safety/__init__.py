"""Whose voice may be used, who says so, and what was made with it."""
