"""A simulated fleet with a known truth: for `tokencost-exporter demo` and for the tests."""
