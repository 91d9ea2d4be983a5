"""Policies: verdicts go in, one decision comes out. Pure: no network, no clock, no randomness."""
