"""Held-out images sought by an encoder."""
