"""Background tasks that watch the rates: alarms on rates that have risen (`alarms`, run by `watch`), and gauges for
Prometheus (`gauges`)."""
