"""Inversion of held-out images by an encoder."""
