"""Probes: what one answer cannot show, a second one can.

A small share of the sampled requests is sent again beside the traffic, as it was or with one thing changed, and the
answers are compared. What may be sent again is in `replay`, what is changed in `changes/`, how answers are compared in
`comparing`, and which of these belong together in `table`: one row for each probe. `prober` draws requests with a known
probability, keeps within the budget, and hands what came out to the ledger, where it becomes rates.
"""
