"""Encoders, decoders and discriminators: plain modules with plain arguments, in families (`NETWORKS`)."""

from __future__ import annotations

from .build import INITS, NETWORKS, PARTS_OF_KIND, Family, build_parts, code_shape, initialise
from .conv import PADDINGS, ConvDecoder, ConvDiscriminator, ConvEncoder
from .layers import ACTIVATIONS, NORMS, ORDERS, Activation, ConvBlock, DenseBlock, MinibatchDiscrimination
from .mlp import MLPDecoder, MLPDiscriminator, MLPEncoder
from .parts import IMAGE_RANGES, OUTPUTS, Decoder, Discriminator, Encoder, add_spectral_norm
from .residual import LATENTS, ResidualBlock, ResidualDecoder, ResidualEncoder, SelfAttention

__all__ = [
    "ACTIVATIONS",
    "IMAGE_RANGES",
    "INITS",
    "LATENTS",
    "NETWORKS",
    "NORMS",
    "ORDERS",
    "OUTPUTS",
    "PADDINGS",
    "PARTS_OF_KIND",
    "Activation",
    "ConvBlock",
    "ConvDecoder",
    "ConvDiscriminator",
    "ConvEncoder",
    "Decoder",
    "DenseBlock",
    "Discriminator",
    "Encoder",
    "Family",
    "MLPDecoder",
    "MLPDiscriminator",
    "MLPEncoder",
    "MinibatchDiscrimination",
    "ResidualBlock",
    "ResidualDecoder",
    "ResidualEncoder",
    "SelfAttention",
    "add_spectral_norm",
    "build_parts",
    "code_shape",
    "initialise",
]
