"""Monitors: what no single answer shows, found over many judged samples.

`observe` turns a judged exchange into sums that can be added over samples, hours and processes (`sketch`), and each
monitor reads its finding from such sums: how well stated confidence fits (`calibration`), gaps between cohorts
(`gaps`), leans between opposed sides of a topic (`lean`), shifts against a reference (`drift`), effects of changes
(`effects`), and rare words that steer the answer (`triggers`). Repeats of one text count as one (`texts`).
Pure statistics: no clock, no store, no text is kept.
"""
