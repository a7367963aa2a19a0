"""Published autoencoders in the layout of diffusers' `AutoencoderKL`: `config.json` as a model's description, and back.

Our residual networks with maps as codes equal that class layer for layer, so weights are only renamed. Options of
the class that these networks lack are refused by name.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, FiniteFloat

from ..errors import UserError
from ..runs.run_folder import DIFFUSERS_CLASS
from ..settings import Architecture, DecoderSettings, PartSettings, Side, Width, Widths
from ..settings_io import checked

IMAGE_RANGE = (-1.0, 1.0)
_HOLDS = "AutoencoderKL"
_DOWN, _UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
_RENAMED = (
    (r"^encoder\.quant\.", "quant_conv."),
    (r"^decoder\.post_quant\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.(input|first)\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.(head|output)\.", r"\1.conv_out."),
    (r"^(encoder|decoder)\.norm\.", r"\1.conv_norm_out."),
    (r"\.middle\.attention\.", ".mid_block.attentions.0."),
    (r"\.middle\.", ".mid_block."),
    (r"^encoder\.stage(\d+)\.", lambda m: f"encoder.down_blocks.{int(m[1]) - 1}."),
    (r"^decoder\.stage(\d+)\.", lambda m: f"decoder.up_blocks.{int(m[1]) - 1}."),
    (r"\.block(\d+)\.", lambda m: f".resnets.{int(m[1]) - 1}."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"\.down\.", ".downsamplers.0.conv."),
    (r"\.up\.", ".upsamplers.0.conv."),
    (r"(attentions\.0)\.norm\.", r"\1.group_norm."),
    (r"(attentions\.0)\.out\.", r"\1.to_out.0."),
    (r"(attentions\.0)\.(q|k|v)(?:uery|ey|alue)\.", r"\1.to_\2."),
)
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # files of 2022 have these


class _Config(BaseModel):
    """Arguments of `AutoencoderKL` with its defaults; as there, others have no effect."""

    in_channels: Width = 3
    out_channels: Width = 3
    down_block_types: tuple[str, ...] = (_DOWN,)
    up_block_types: tuple[str, ...] = (_UP,)
    block_out_channels: Annotated[Widths, Field(min_length=1)] = (64,)
    layers_per_block: Annotated[int, Field(gt=0, le=32)] = 1
    act_fn: str = "silu"
    latent_channels: Width = 4
    norm_num_groups: Width = 32
    sample_size: Side | tuple[Side, Side] = 32
    scaling_factor: Annotated[FiniteFloat, Field(gt=0.0)] = 0.18215
    shift_factor: FiniteFloat | None = None
    latents_mean: tuple[FiniteFloat, ...] | None = None
    latents_std: tuple[Annotated[FiniteFloat, Field(gt=0.0)], ...] | None = None
    force_upcast: bool = True
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True
    mid_block_add_attention: bool = True


def diffusers_name(name: str) -> str:
    """Return the name in `AutoencoderKL` of a weight of ours, such as ``encoder.stage1.block2.conv1.weight``."""
    for pattern, text in _RENAMED:
        name = re.sub(pattern, text, name)
    return name


def own_names(theirs: Iterable[str], wanted: Iterable[str]) -> dict[str, str]:
    """Return our name of each weight in a file of diffusers; its own where none of ``wanted`` has that name."""
    ours = {diffusers_name(name): name for name in wanted}
    new = {name: re.sub(r"(?<=attentions\.0\.)\w+", lambda m: _OLD_NAMES.get(m[0], m[0]), name) for name in theirs}
    return {name: ours.get(new[name], name) for name in new}


def description_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return our `config.json` for that of a model of diffusers; UserError if the model is not supported."""
    if config[DIFFUSERS_CLASS] != _HOLDS:
        raise UserError(f"class {config[DIFFUSERS_CLASS]} is not supported; models of class {_HOLDS} are")
    c = checked(_Config, config)
    if (reason := _unsupported(c)) is not None:
        raise UserError(f"{reason} is not supported")
    factor = 2 ** (len(c.block_out_channels) - 1)
    sides = c.sample_size if isinstance(c.sample_size, tuple) else (c.sample_size, c.sample_size)
    height, width = (-(-side // factor) * factor for side in sides)
    shared: dict[str, Any] = {
        "blocks": c.layers_per_block, "groups": c.norm_num_groups, "attention": c.mid_block_add_attention,
    }  # fmt: skip
    architecture = Architecture(
        kind="vae",
        network="residual",
        latent="map",
        latent_dim=c.latent_channels,
        output="centred",
        init="torch",
        encoder=PartSettings(channels=c.block_out_channels, quant=c.use_quant_conv, **shared),
        decoder=DecoderSettings(channels=c.block_out_channels[::-1], quant=c.use_post_quant_conv, **shared),
        image_shape=(c.in_channels, height, width),
    )
    info: dict[str, Any] = {"normal_prior": False, "scale_factor": c.scaling_factor, "force_upcast": c.force_upcast}
    info |= c.model_dump(include={"shift_factor", "latents_mean", "latents_std"}, exclude_none=True)
    return {
        "format": 1,
        "kind": "vae",
        "image_shape": architecture.image_shape,
        "latent_dim": c.latent_channels * (height // factor) * (width // factor),
        "image_range": IMAGE_RANGE,
        "architecture": architecture.model_dump(mode="json"),
        "info": info,
    }


def _unsupported(c: _Config) -> str | None:
    """Return the first setting that our networks do not support; None if they support all."""
    num = len(c.block_out_channels)
    for name, blocks, ours in (
        ("down_block_types", c.down_block_types, _DOWN),
        ("up_block_types", c.up_block_types, _UP),
    ):
        if other := next((block for block in blocks if block != ours), None):
            return f"{name} {other}"
        if len(blocks) != num:
            return f"{len(blocks)} {name} for {num} block_out_channels"
    if c.act_fn not in ("silu", "swish"):
        return f"act_fn {c.act_fn}"
    if c.in_channels != c.out_channels:
        return f"in_channels {c.in_channels} with out_channels {c.out_channels}"
    for name in ("latents_mean", "latents_std"):
        values = getattr(c, name)
        if values is not None and len(values) != c.latent_channels:
            return f"{name} of {len(values)} numbers for {c.latent_channels} latent_channels"
    return None


def config_of(
    image_shape: tuple[int, int, int], architecture: Mapping[str, Any], info: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of `AutoencoderKL` for a residual model of maps: `description_of`, reversed."""
    channels, height, width = image_shape
    encoder, decoder = architecture["encoder"], architecture["decoder"]
    num = len(encoder["channels"])
    return {
        DIFFUSERS_CLASS: _HOLDS,
        "act_fn": "silu",
        "block_out_channels": list(encoder["channels"]),
        "down_block_types": [_DOWN] * num,
        "force_upcast": info.get("force_upcast", True),
        "in_channels": channels,
        "latent_channels": architecture["latent_dim"],
        **{name: info.get(name) for name in ("latents_mean", "latents_std", "shift_factor")},
        "layers_per_block": encoder["blocks"],
        "mid_block_add_attention": encoder["attention"],
        "norm_num_groups": encoder["groups"],
        "out_channels": channels,
        "sample_size": height if height == width else [height, width],
        "scaling_factor": info.get("scale_factor", 1.0),
        "up_block_types": [_UP] * num,
        "use_post_quant_conv": decoder.get("quant", True),
        "use_quant_conv": encoder.get("quant", True),
    }
