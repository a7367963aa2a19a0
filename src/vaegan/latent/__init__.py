"""The latent space: encoding, paths, attribute vectors, clusters, priors fitted to a model's codes."""
