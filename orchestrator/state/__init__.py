"""The state of a job in storage: ledger, state of its run, log, leases, status."""
