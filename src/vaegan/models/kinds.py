"""The kinds of models in words."""

KINDS = {
    "ae": "a plain autoencoder",
    "vae": "a VAE",
    "gan": "a GAN",
    "vae-dis-l": "a VAE with a discriminator's layer as metric",
    "vaegan": "a VAE/GAN",
}
