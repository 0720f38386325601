"""Exact likelihoods of held-out images."""
