"""The demo upstream: conversations that we wrote, the answers made from them, and their forms on the wire."""
