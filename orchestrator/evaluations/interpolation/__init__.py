"""Paths through the latent space between held-out images."""
