"""The policy in force and what it does to prompts and answers."""
