"""What the demo upstream says: conversations we wrote, the answers made from them, their shapes on the wire."""
