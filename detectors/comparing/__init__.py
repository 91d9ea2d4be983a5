"""Compares an answer with its sources, with earlier answers, with itself, and with known misconceptions.

One small cross-encoder judges pairs of a premise and a claim. This package finds the pairs in an exchange, and turns
the model's judgements into one verdict for each sub-category. Where there is nothing to compare with, it gives none.
"""
