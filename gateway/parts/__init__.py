"""The parts of a process, built from its configuration; `app` and `worker_app` wire them together.

A function here takes the configuration, and parts that exist already, and returns one object. Nothing runs yet: a part
lists its background tasks in `tasks`, and the process's background runs them.
"""
