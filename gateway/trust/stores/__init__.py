"""Where the ledger lies: in a file, for the gateways of one machine, or in Redis, for those of many (`opening` says
which)."""
