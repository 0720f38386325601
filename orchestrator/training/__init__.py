"""The step loop, checkpoints and signals of one trial; knows no Ray."""
