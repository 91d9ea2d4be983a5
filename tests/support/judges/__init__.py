"""Detectors and judge models that need no large file, and what is known of those that ship."""
