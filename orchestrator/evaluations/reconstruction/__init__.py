"""Reconstruction of held-out images from their latent vectors."""
