"""Ways through the latent space: codes in, codes out."""
