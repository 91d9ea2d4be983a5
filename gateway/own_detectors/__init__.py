"""The operator's own detectors, from their settings to where they are asked: classifiers and word lists go to the
detector processes as descriptions, guards behind HTTP are asked from here, so that no detector process waits for a
network.
"""
