"""Model servers: which one answers, the connections to them, tries and time limits."""
