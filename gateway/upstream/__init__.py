"""Model servers: which one answers, the connections to it, tries and time limits."""
