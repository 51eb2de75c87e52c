"""tokencost-exporter: what a token costs right now, who is spending it, and when the budget runs out."""

__version__ = "0.1.0"
