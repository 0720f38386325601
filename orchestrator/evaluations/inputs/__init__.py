"""What evaluations compute from: batches of held-out images, and samples of latent distributions."""
