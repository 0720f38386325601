"""The live page: a storage's jobs and trials in a browser of this machine, drawn of the report's own sections."""
