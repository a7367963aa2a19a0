"""`load_vectors` by the name that model cards print; it is in `vaegan.latent.saved_vectors`."""

from ..latent.saved_vectors import load_vectors

__all__ = ["load_vectors"]
