"""What the gateway tells of itself: metrics, the audit file, one outcome an exchange."""
