"""The studio: the page at `/`, and the routes that only it needs."""
