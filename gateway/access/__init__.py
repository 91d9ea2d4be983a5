"""Who may use the gateway, how much of it, and what belongs to whom: keys, origins, prices, stored answers."""
