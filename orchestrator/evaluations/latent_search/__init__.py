"""The latent search, which several kinds of evaluation share."""
