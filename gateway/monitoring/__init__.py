"""Monitors beside the traffic: judged samples become sketches, and the sketches of all processes become findings.

`observing` is a sink. It hands each judged sample as bytes (`seen`) to a separate process, which adds it to the sketch
of its hour (`sketching`); `observing` writes that sketch to a store that all processes read (`store`). Now and then
another process (`looking`) merges the sketches of a window (`history`) and asks each monitor (`reports`, which uses
`detectors/monitors/`). `watching` shows its findings on the page and in gauges. `changes` are events whose effects are
measured: noticed in the traffic, or posted by an operator.
"""
