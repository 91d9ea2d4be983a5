"""What dashboards and rules ask Prometheus."""
