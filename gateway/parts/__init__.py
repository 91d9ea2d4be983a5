"""The parts of a process, made of its configuration: `app` and `worker_app` ask for them and wire them together.

A function here takes the configuration, and parts that are there already, and gives one object. Nothing runs yet: what
a part does beside the traffic it names in `tasks`, and the process's background runs it.
"""
