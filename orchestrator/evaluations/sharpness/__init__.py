"""Sharpness of samples."""
