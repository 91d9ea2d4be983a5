"""Detectors that the operator brings: text classifiers, word lists, and guards that a server runs.

A description (`specs`) says where a detector is and what its answers mean. It loads no model, so the gateway's process
can use it. `building` makes detectors from descriptions, in the detector process. A fault in one of them is named and
stops only that one.
"""
