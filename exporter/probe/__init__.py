"""`tokencost-exporter probe`: one page, looked at once, and what would be read from it."""
