"""From a text and a voice to speech: whole, or as a stream."""
