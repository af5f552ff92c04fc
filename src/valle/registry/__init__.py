"""The registry of a server: voices, consents, keys and jobs, in a database.

SQLite in the user's data folder by default, PostgreSQL by URL; recordings and results in an object
store through fsspec (a folder by default, S3 by URL). Several processes and machines share one
registry: whatever one of them commits holds for all of them at once (extra `serve`).
"""
