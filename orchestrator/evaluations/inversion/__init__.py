"""Held-out images sought in the latent space."""
