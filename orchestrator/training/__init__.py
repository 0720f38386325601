"""The step loop, checkpoints and training metrics of one trial, without Ray."""
