"""A model whose codes are maps in the layout of diffusers' `AutoencoderKL`: config.json and weights under its names.

Our residual networks equal that class layer for layer, so weights are only renamed. There images are in [-1, 1], as in
networks of output 'centred', and codes are maps (C, h, w). Where diffusers is installed, it reads the files and its
outputs are compared with the model's.
"""

import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..errors import UserError
from ..files import write_json
from ..models import Model

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
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


def write_diffusers(model: Model, folder: Path) -> None:
    """Write a residual model with map codes for `AutoencoderKL.from_pretrained`; UserError if it does not fit."""
    config = _config(model)
    folder.mkdir(parents=True)
    write_json(folder / CONFIG_NAME, config)
    weights = {
        diffusers_name(name): tensor.detach().cpu().float().contiguous()
        for name, tensor in model.state_dict().items()
        if name.startswith(("encoder.", "decoder."))
    }
    (folder / WEIGHTS_NAME).write_bytes(safetensors.torch.save(weights, {"format": "pt"}))


def read_diffusers(folder: Path) -> Any:
    """Return the `AutoencoderKL` in a folder; None where diffusers is not installed."""
    try:
        import diffusers
    except ImportError:
        return None
    library: Any = diffusers
    return library.AutoencoderKL.from_pretrained(folder).eval()


def outputs_of(autoencoder: Any, model: Model, part: str, x: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of diffusers' encoder or decoder in our ranges: mu and logvar, or images in [0, 1].

    ``x`` are images `(B, C, H, W)` in [0, 1] or, for the decoder, codes `(B, Z)`.
    """
    with torch.no_grad():
        if part == "decoder":
            return (((autoencoder.decode(model.maps(x)).sample + 1.0) / 2.0).clamp(0.0, 1.0),)
        moments: Tensor = autoencoder.encode(2.0 * x - 1.0).latent_dist.parameters
    mu, logvar = moments.flatten(1).chunk(2, 1)
    return mu, logvar


def diffusers_name(name: str) -> str:
    """Return the name in `AutoencoderKL` of a weight of ours, such as ``encoder.stage1.block2.conv1.weight``."""
    for pattern, text in _RENAMED:
        name = re.sub(pattern, text, name)
    return name


def _config(model: Model) -> dict[str, Any]:
    """Return the arguments of `AutoencoderKL`; UserError if it cannot represent the model."""
    if (reason := _obstacle(model)) is not None:
        raise UserError(f"diffusers' AutoencoderKL cannot hold this model: {reason}; choose other formats (--format)")
    channels, height, width = model.image_shape
    encoder = (model.architecture or {})["encoder"]
    num = len(encoder["channels"])
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": list(encoder["channels"]),
        "down_block_types": ["DownEncoderBlock2D"] * num,
        "in_channels": channels,
        "latent_channels": model.code_shape[0],
        "layers_per_block": encoder["blocks"],
        "mid_block_add_attention": encoder["attention"],
        "norm_num_groups": encoder["groups"],
        "out_channels": channels,
        "sample_size": height if height == width else [height, width],
        "scaling_factor": model.info.get("scale_factor", 1.0),
        "up_block_types": ["UpDecoderBlock2D"] * num,
    }


def _obstacle(model: Model) -> str | None:
    """Return why `AutoencoderKL` cannot hold a model, with what to train instead; None if it can."""
    own = model.architecture or {}
    encoder, decoder = (own.get(part, {}) for part in ("encoder", "decoder"))
    if own.get("network") != "residual" or len(model.code_shape) == 1:
        return "its codes are vectors, not maps (--model.network residual --model.latent map)"
    if model.kind not in ("vae", "vae-dis-l", "vaegan"):
        return f"it is of kind {model.kind}, which has no encoder of mu and logvar (--model.kind vaegan)"
    if own["output"] != "centred":
        return f"its output is {own['output']} (--model.output centred)"
    if list(encoder["channels"]) != list(decoder["channels"])[::-1]:
        return "the decoder's channels are not the encoder's in reverse"
    for name in ("blocks", "groups", "attention"):
        if encoder[name] != decoder[name]:
            return f"encoder and decoder differ in {name}"
    factor = 2 ** (len(encoder["channels"]) - 1)
    if any(side % factor for side in model.image_shape[1:]):
        return f"the sides of its images are not multiples of {factor}"
    return None
