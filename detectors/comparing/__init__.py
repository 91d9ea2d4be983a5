"""Two texts at once: an answer against what was given, what was said before, and what is known to be false.

One small cross-encoder judges pairs of a premise and a claim; what stands here finds the pairs in an exchange and folds
what is said of them into one verdict a sub-category. Where there is nothing to compare with there is no opinion.
"""
