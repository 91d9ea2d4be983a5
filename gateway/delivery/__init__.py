"""How an answer reaches the client: passed on as it comes, held until it is judged, or through a window."""
