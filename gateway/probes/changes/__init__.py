"""What a probe changes in a request: pure functions from a conversation to edits, None where they do not apply.

Each keeps everything but the one thing that its name says; tests hold it to that.
"""
