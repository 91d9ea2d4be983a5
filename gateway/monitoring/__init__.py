"""Monitors beside the traffic: judged samples become sketches, sketches of all processes become findings.

`observing` is a sink: it hands each judged sample as bytes (`seen`) to a process of its own, which adds it to the
sketch of its hour (`sketching`), and writes that where all processes read it (`store`). Now and then another process
(`looking`) merges the sketches of a window (`history`) and asks each monitor (`reports`, over `detectors/monitors/`);
the page and the gauges show what it found (`watching`). `changes` are events that effects are told of: noticed in the
traffic, or posted.
"""
