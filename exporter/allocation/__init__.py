"""Who pays for what: supply, lots, the split between token classes, tenants."""
