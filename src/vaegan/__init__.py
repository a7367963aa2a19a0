"""Image autoencoders whose idea of similar is learned (VAE/GAN, arXiv:1512.09300, and its family)."""

__version__ = "0.1.0"
