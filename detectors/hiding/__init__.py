"""What a text hides is brought to light before anything judges it."""
