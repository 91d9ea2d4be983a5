"""What the gateway reports about itself: metrics, the audit file, one outcome for each exchange."""
