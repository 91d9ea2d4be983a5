"""Settings: typed, from a file, the environment or flags."""
