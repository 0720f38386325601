"""Held-out images by way of their latent vectors."""
