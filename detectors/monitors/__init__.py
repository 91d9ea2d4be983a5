"""Monitors: findings that no single answer shows, made over many judged samples.

`sketch.Observer` turns a judged exchange into sums that can be added over samples, hours and processes. Each monitor
reads its finding from such sums: how well stated confidence fits (`calibration`), gaps between cohorts (`gaps`),
differences between opposed sides of a topic (`lean`) and between cultures (`cultures`), shifts against a reference
(`drift`), effects of changes (`effects`), and rare words that steer the answer (`triggers`). Repeats of one text count
as one (`texts`). These modules are pure statistics: they use no clock and no store, and keep no text.
"""
