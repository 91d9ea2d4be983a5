"""The operator's own detectors: from their settings to asking them. Classifiers and word lists are sent to the detector
processes as descriptions. Guards that a server runs are asked from here, so that no detector process waits for the
network.
"""
