"""`load_vectors` by the name that model cards print; it is in `vaegan.latent.vectors`."""

from ..latent.vectors import load_vectors

__all__ = ["load_vectors"]
