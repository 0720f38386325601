"""What storage says of a job: ledger, state of its run, log, leases, status."""
