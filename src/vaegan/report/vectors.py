"""`load_vectors` by the name that model cards print; it is in `vaegan.latent.attribute_vectors`."""

from ..latent.attribute_vectors import load_vectors

__all__ = ["load_vectors"]
