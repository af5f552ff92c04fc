"""Who agreed to a voice: statements, their verification, permission and its end."""
