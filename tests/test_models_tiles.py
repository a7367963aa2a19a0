"""Encoding and decoding tile by tile, against the whole image."""

from __future__ import annotations

import pytest
import torch
from test_models_sizes import build
from torch import nn

from vaegan.errors import UserError
from vaegan.latent.code_shards import encoder_digest
from vaegan.models.tiles import Tiles, decode_tiles, encode_tiles, stitched
from vaegan.networks.residual import NormSiLU


def plain(**changes):
    """A model without norms and attention: each number depends on its surroundings alone."""
    own = {"blocks": 1, "groups": 2, "attention": False}
    parts = {"encoder": {"channels": (4, 6), **own}, "decoder": {"channels": (6, 4), **own}}
    model = build(channels=(4, 6), **parts, **changes)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, NormSiLU):
                setattr(module, name, nn.SiLU())
    return model


@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [((17, 23), 8, 2), ((8, 30), 8, 5), ((5, 5), 8, 2), ((20, 9), 6, 0)]
)
@pytest.mark.parametrize("scale", [1, 3])
def test_equal_tiles_are_stitched_to_the_whole(size, tile, overlap, scale):
    whole = torch.rand(2, 3, *(scale * side for side in size))
    shapes = []

    def compute(rows, columns):
        part = whole[:, :, scale * rows.start : scale * rows.stop, scale * columns.start : scale * columns.stop]
        shapes.append(part.shape[2:])
        return part

    bands = list(stitched(compute, size, Tiles(tile, overlap), scale))
    starts = [start for start, _ in bands]
    assert starts == [sum(band.shape[2] for _, band in bands[:i]) for i in range(len(bands))]
    torch.testing.assert_close(torch.cat([band for _, band in bands], 2), whole, atol=1e-6, rtol=0)
    assert max(max(shape) for shape in shapes) <= scale * tile


def test_weights_rise_over_the_middle_half_of_an_overlap():
    def compute(rows, columns):
        value = float(columns.start > 0)
        return torch.full((1, 1, rows.stop - rows.start, columns.stop - columns.start), value)

    ((_, row),) = stitched(compute, (1, 16), Tiles(12, 8))
    assert row.flatten().tolist() == pytest.approx([0] * 6 + [1 / 8, 3 / 8, 5 / 8, 7 / 8] + [1] * 6)


@pytest.mark.parametrize("shape", [(2, 16, 24), (2, 64, 96)])
def test_a_plain_network_gives_the_same_as_of_the_whole_image(shape):
    model, x = plain(shape=shape), torch.rand(2, 2, 64, 96)
    tiled = model.tiled(48, 40)
    for mine, theirs in zip(tiled.posterior(x), model.posterior(x), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    z = model.encode(x)
    torch.testing.assert_close(tiled.decode(z), model.decode(z), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tiled.reconstruct(x), model.reconstruct(x), atol=1e-5, rtol=1e-5)
    less = model.tiled(48, 2)  # too little overlap for its surroundings
    assert (less.encode(x) - z).abs().max() > 1e-3
    assert model.tiles is None


def test_no_more_than_a_tile_is_computed_at_once():
    model, sizes = build().tiled(16), []
    assert model.tiles == Tiles(16, 4)
    model.encoder.register_forward_pre_hook(lambda part, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    model.decoder.register_forward_pre_hook(
        lambda part, inputs: sizes.append(tuple(4 * n for n in inputs[0].shape[2:]))
    )
    x = torch.rand(1, 2, 40, 12)
    assert model.reconstruct(x).shape == x.shape
    assert set(sizes) == {(16, 12)}
    read = []

    def rows_of(rows, columns):
        read.append((rows, columns))
        return x[:, :, rows, columns]

    (mu, _) = encode_tiles(model, rows_of, (40, 12))
    assert read == [(slice(start, start + 16), slice(0, 12)) for start in (0, 12, 24)]
    rows = [(start, part.shape[2]) for start, part in decode_tiles(model, mu)]
    assert rows == [(0, 12), (12, 12), (24, 16)]


def test_codes_of_the_models_own_size_are_flat_and_decoded_alike():
    model = build((2, 16, 24))
    x = torch.rand(1, 2, 16, 24)
    (mu, *_) = encode_tiles(model.tiled(16), lambda rows, columns: x[:, :, rows, columns], (16, 24))
    assert mu.ndim == 2
    bands = [part for _, part in decode_tiles(model.tiled(16), mu)]
    assert torch.equal(torch.cat(bands, 2), model.tiled(16).decode(mu))


def test_images_that_fit_into_a_tile_are_computed_whole():
    model, x = build(), torch.rand(2, 2, 16, 24)
    assert torch.equal(model.tiled(24).encode(x), model.encode(x))
    odd = build((2, 14, 23))
    assert odd.tiled(8).reconstruct(torch.rand(1, 2, 14, 23)).shape == (1, 2, 14, 23)


@pytest.mark.parametrize(
    ("model", "arguments", "words"),
    [
        (lambda: build(latent="vector"), (16,), "the codes of this model are vectors, and tiles need maps"),
        (lambda: build(), (18,), "tiles of 18 pixels do not fit this model; choose another multiple of 4, at least 8"),
        (lambda: build(), (4,), "tiles of 4 pixels do not fit"),
        (lambda: build(), (16, 6), "an overlap of 6 pixels does not fit; choose a multiple of 4 below 16"),
        (lambda: build(), (16, 16), "an overlap of 16 pixels does not fit"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(model, arguments, words):
    with pytest.raises(UserError, match=words):
        model().tiled(*arguments)


def test_codes_of_tiles_are_not_taken_for_those_of_whole_images():
    model = build()
    digests = {encoder_digest(each) for each in (model, model.tiled(16), model.tiled(16, 8), model.tiled(24))}
    assert len(digests) == 4
