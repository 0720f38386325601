"""What is measured of a generator and of its training."""
