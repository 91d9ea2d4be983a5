"""Monitors beside the traffic: judged samples become sketches, sketches of all processes become findings.

`Observing` is a sink that adds each judged sample to the sketch of its hour and writes it where every process reads it
(`store`). Now and then a process beside (`looking`) merges the sketches of a window (`history`) and asks each monitor
(`reports`, over `detectors/monitors/`); the page and the gauges show what it found (`watching`). `changes` are events
that effects are told of: noticed in the traffic, or posted.
"""
