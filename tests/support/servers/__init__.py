"""Real programs and sockets, started for a test and ended by it; and the vendors' clients that ask them."""
