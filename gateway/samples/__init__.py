"""Which exchanges are sampled, with which probability, and the queues in which samples wait to be judged."""
