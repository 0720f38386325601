"""The search for latent vectors that several kinds of evaluation share."""
