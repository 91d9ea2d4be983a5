"""What is told of the rates as they change, in tasks beside the traffic: alarms on those that have risen (`alarms`,
kept running by `watch`), and gauges for Prometheus (`gauges`)."""
