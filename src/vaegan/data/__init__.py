"""Images: opened from a source, decoded once, read in batches (`vaegan.data.batches`, which needs torch)."""

from .dataset import ImageData, ImageSet
from .sources import SOURCES, Source, open_data

__all__ = ["SOURCES", "ImageData", "ImageSet", "Source", "open_data"]
