"""What a test needs around it: policies, ledgers, audit files, disks, and model servers that are tried in turn."""
