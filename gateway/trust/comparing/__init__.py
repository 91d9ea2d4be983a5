"""Rates beside each other: many differences at once with a bounded share of false ones (`together`), models
(`models`), and callers: how far the rates of some tell of others (`callers`), and whether a difference is theirs
(`clusters`)."""
