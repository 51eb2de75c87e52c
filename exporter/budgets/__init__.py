"""Budgets: what of a limit is spent in a calendar period, how fast, and when it runs out."""
