"""Comparisons of rates: many differences at once with a bounded share of false ones (`together`), a gauge of models
that show more than others (`models`), how far a rate carries over to other callers (`callers`), and whether a
difference is one of groups or only of the callers in them (`clusters`)."""
