"""OpenAI's moderation, answered by the gateway's own detectors."""
