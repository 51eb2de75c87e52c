"""From readings to use: deltas per series, disjoint token classes, one account per tenant, model and class."""
