"""The ledger's stores: a file for the gateways of one machine, or Redis for those of many. `opening` chooses."""
