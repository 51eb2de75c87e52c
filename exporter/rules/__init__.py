"""Recording and alert rules: tables of them, and what writes them out for Prometheus and its relatives. Pure but for
the files it writes; it knows the metrics by their published names only."""
