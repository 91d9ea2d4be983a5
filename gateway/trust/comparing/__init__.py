"""Rates beside each other: many differences at once with a bounded share of false ones (`together`), models
(`models`), and callers, as far as the rate of some tells of others (`callers`)."""
