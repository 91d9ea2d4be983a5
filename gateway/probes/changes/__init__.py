"""What a probe changes in a request: pure functions from a conversation to edits, or None where they do not apply.

Each changes only the one thing that its name says; tests check this.
"""
