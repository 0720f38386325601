"""The step loop, checkpoints and signals; knows no Ray."""
