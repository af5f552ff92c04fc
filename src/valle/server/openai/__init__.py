"""OpenAI's API: speech, voices, consents, models, and extensions."""
