"""The operator's pages: health, metrics, and everything about trust; behind the operator's key, if there is one.

`site` serves the pages of a process and runs its background tasks; the other modules make the pages.
"""
