"""A model whose codes are maps in the layout of diffusers' `AutoencoderKL`: config.json and weights under its names.

Our residual networks equal that class layer for layer, so weights are only renamed. There images are in [-1, 1], as in
networks of output 'centred', and codes are maps (C, h, w). Where diffusers is installed, it reads the files and its
outputs are compared with the model's.
"""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..errors import UserError
from ..files import write_json
from ..models import Model
from ..models.published import config_of, diffusers_name
from ..runs.run_folder import DIFFUSERS_WEIGHTS, MODEL_CONFIG


def write_diffusers(model: Model, folder: Path) -> None:
    """Write a residual model with map codes for `AutoencoderKL.from_pretrained`.

    Raises UserError if it does not fit, or its latent scale factor was not measured.
    """
    if (reason := _obstacle(model)) is not None:
        raise UserError(f"diffusers' AutoencoderKL cannot hold this model: {reason}; choose other formats (--format)")
    config = config_of(model.image_shape, model.architecture or {}, model.info)
    config["scaling_factor"] = model.scale_factor
    folder.mkdir(parents=True)
    write_json(folder / MODEL_CONFIG, config)
    weights = {
        diffusers_name(name): tensor.detach().cpu().float().contiguous()
        for name, tensor in model.state_dict().items()
        if name.startswith(("encoder.", "decoder."))
    }
    (folder / DIFFUSERS_WEIGHTS).write_bytes(safetensors.torch.save(weights, {"format": "pt"}))


def read_diffusers(folder: Path) -> Any:
    """Return the `AutoencoderKL` in a folder; None where diffusers is not installed."""
    try:
        import diffusers
    except ImportError:
        return None
    library: Any = diffusers
    return library.AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).eval()  # else it asks for accelerate


def outputs_of(autoencoder: Any, model: Model, part: str, x: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of diffusers' encoder or decoder in our ranges: mu and logvar, or images in [0, 1].

    ``x`` are images `(B, C, H, W)` in [0, 1] or, for the decoder, codes `(B, Z)`.
    """
    with torch.no_grad():
        if part == "decoder":
            return (((autoencoder.decode(model.maps(x)).sample + 1.0) / 2.0).clamp(0.0, 1.0),)
        posterior = autoencoder.encode(2.0 * x - 1.0).latent_dist
    return posterior.mean.flatten(1), posterior.logvar.flatten(1)


def _obstacle(model: Model) -> str | None:
    """Return why `AutoencoderKL` cannot hold a model, with what to train instead; None if it can."""
    own = model.architecture or {}
    encoder, decoder = (own.get(part, {}) for part in ("encoder", "decoder"))
    if own.get("network") != "residual" or len(model.code_shape) == 1:
        return "it needs residual networks whose codes are maps (--model.network residual --model.latent map)"
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
