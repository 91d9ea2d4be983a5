"""Detectors that the operator brings: text classifiers, word lists, and guards that a server runs.

A description (`specs`) says where one is and what its answers mean; no model is loaded for it, so the gateway's process
knows these detectors as it knows the shipped ones. `building` makes detectors of descriptions, in the detector process.
What is wrong with one is named and costs that one alone.
"""
