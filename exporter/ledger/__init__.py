"""The books: integer accounts in memory, one SQLite file on disk."""
