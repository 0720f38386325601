"""Restoration of corrupted images."""
