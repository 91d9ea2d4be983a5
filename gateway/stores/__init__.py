"""Doors to stores that other processes share."""
