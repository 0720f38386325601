"""Corrupted images restored."""
