"""Encoders, decoders and discriminators: plain modules with plain arguments, in families (`NETWORKS`)."""

from __future__ import annotations

from .blocks import ACTIVATIONS, NORMS, ORDERS, Activation, ConvBlock, DenseBlock
from .build import NETWORKS, PARTS_OF_KIND, Family, build_parts
from .conv import PADDINGS, ConvDecoder, ConvDiscriminator, ConvEncoder
from .initialise import INITS, initialise
from .minibatch import MinibatchDiscrimination
from .mlp import MLPDecoder, MLPDiscriminator, MLPEncoder
from .trio import OUTPUTS, Decoder, Discriminator, Encoder, add_spectral_norm

__all__ = [
    "ACTIVATIONS",
    "INITS",
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
    "add_spectral_norm",
    "build_parts",
    "initialise",
]
