"""Published shapes at their true widths: our outputs beside those of diffusers, largest difference and time.

``python benchmarks/published.py [--size 64]`` builds the autoencoders of Stable Diffusion 1, SDXL and FLUX with random
weights by diffusers, saves them, opens them as ``diffusers:FOLDER`` and compares mean, log variance and decoded images
of two random images in float32, and both with float64. Takes 3 GB of memory and a minute; needs the extra diffusers.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import diffusers
import torch
from torch import Tensor

import vaegan

COMMON: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
SHAPES: dict[str, dict[str, Any]] = {
    "SD 1.x": {"scaling_factor": 0.18215},
    "SDXL": {"scaling_factor": 0.13025},
    "FLUX": {
        "scaling_factor": 0.3611,
        "shift_factor": 0.1159,
        "latent_channels": 16,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    },
}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, without gradients, and its seconds."""
    begin = time.perf_counter()
    with torch.no_grad():
        result = call()
    return result, time.perf_counter() - begin


def outputs(encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], x: Tensor, z: Tensor) -> list[Any]:
    """Return moments of images, images of codes, and the seconds of both."""
    (moments, encoding), (images, decoding) = timed(lambda: encode(x)), timed(lambda: decode(z))
    return [moments, images, encoding, decoding]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    size = parser.parse_args().size
    print(
        "| shape | output | largest | ours - diffusers | ours - float64 | diffusers - float64 | s, ours | s, theirs |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, own in SHAPES.items():
        torch.manual_seed(0)
        theirs = diffusers.AutoencoderKL(**{**COMMON, **own}, sample_size=size).eval()
        with tempfile.TemporaryDirectory() as folder:
            theirs.save_pretrained(folder)
            ours = vaegan.load(f"diffusers:{folder}")
        x = torch.rand(2, 3, size, size) * 2 - 1
        z = torch.randn(2, *ours.code_shape)

        def moments(x: Tensor, theirs: Any = theirs) -> Tensor:
            return theirs.encode(x).latent_dist.parameters

        def images(z: Tensor, theirs: Any = theirs) -> Tensor:
            return theirs.decode(z).sample

        mine = outputs(lambda x: torch.cat(ours.encoder(x), 1), lambda z: ours.decoder(z.flatten(1)), x, z)  # noqa: B023
        other = outputs(moments, images, x, z)
        theirs.double()
        exact = outputs(moments, images, x.double(), z.double())
        for i, what in enumerate(("mu, logvar", "images")):
            a, b, c = (each[i].flatten(1).double() for each in (mine, other, exact))
            differences = " | ".join(f"{float((p - q).abs().max()):.1e}" for p, q in ((a, b), (a, c), (b, c)))
            seconds = f"{mine[i + 2]:.2f} | {other[i + 2]:.2f}"
            print(f"| {name} | {what} | {float(c.abs().max()):.2f} | {differences} | {seconds} |")


if __name__ == "__main__":
    main()
