"""The config: schema, loading, and every error with the way to mend it."""
