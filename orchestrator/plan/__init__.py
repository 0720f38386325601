"""From a job to its trials, and what is to be done with each."""
