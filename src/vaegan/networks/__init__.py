"""Encoders, decoders and discriminators: plain modules with plain arguments, in families (`NETWORKS`)."""

from .build import NETWORKS, PARTS_OF_KIND, build_parts, code_shape, map_factor
from .parts import IMAGE_RANGES

__all__ = ["IMAGE_RANGES", "NETWORKS", "PARTS_OF_KIND", "build_parts", "code_shape", "map_factor"]
