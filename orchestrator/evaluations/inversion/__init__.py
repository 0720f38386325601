"""Inversion of held-out images: a search in the latent space."""
