"""The labelled set that the rule for secrets is measured on: made-up secrets, and real texts that only look so.

`sets` builds it, seeded; `python -m detectors.training.leaks` measures the rule and others on it and prints the table.
"""
