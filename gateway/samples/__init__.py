"""Which exchanges are sampled, with which probability, and where samples wait until they are judged."""
