"""Probes: they find by a second answer what one answer cannot show.

A small share of the sampled requests is sent again beside the traffic, unchanged or with one thing changed, and the
answers are compared. `replay` says which requests may be sent again, `changes/` makes the changes, `comparing` compares
answers, and `table` has one row for each probe, which puts these together. `prober` draws requests with a known
probability, keeps within the budget, and hands the results to the ledger, where they become rates.
"""
