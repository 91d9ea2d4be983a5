"""Brings to light what a text hides, before anything judges it."""
