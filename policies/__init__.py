"""Policies: verdicts in, one decision out. Pure: no network, no clock, no randomness."""
