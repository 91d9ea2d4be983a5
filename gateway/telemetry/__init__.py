"""What the gateway reports about itself: metrics, the audit file, logs, traces, and one outcome for each exchange."""
