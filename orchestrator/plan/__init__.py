"""The plan of a job: what a submission would do with each trial, on which devices, for how long."""
