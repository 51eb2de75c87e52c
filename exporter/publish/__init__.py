"""What the world sees: the metrics page, the JSON, the live page, the HTTP server."""
