"""Uploads: the parts of a form, and the texts of the files in them, line by line. Pure functions on bytes."""

from gateway.openai_api.uploads.reading import Ends, Line, Upload, read_seams, read_upload

__all__ = ["Ends", "Line", "Upload", "read_seams", "read_upload"]
