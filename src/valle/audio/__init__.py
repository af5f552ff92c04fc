"""Audio in and out; levels, pitch and prosody."""
