"""What stands on the wire: the bodies of the APIs, their streams, and answers of HTTP/1.1."""
