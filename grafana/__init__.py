"""Where the dashboards in grafana/dashboards/ come from: `python -m grafana` (`make dashboards`) writes them."""
