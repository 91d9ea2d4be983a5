"""The operator's pages: probes, metrics, and what can be seen of trust. Read-only, and behind the operator's key.

`site` serves the pages of a process and runs what runs beside its traffic; the other modules make the pages.
"""
