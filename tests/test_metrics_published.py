from __future__ import annotations

import re

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from vaegan.data.dataset import ImageData, ImageSet
from vaegan.errors import UserError
from vaegan.metrics.extractors import dinov2, inception, lpips, weights
from vaegan.metrics.extractors.dinov2 import in_authors_layout
from vaegan.metrics.extractors.features import open_extractor, open_layers
from vaegan.metrics.extractors.inception import inception_v3

DATA = ImageData("x", *[ImageSet(np.zeros((2, 8, 8, 3), np.uint8), ["0", "1"])] * 2, fingerprint="x")


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Random weights in the published layout, with the outputs that nothing reads."""
    torch.manual_seed(0)
    tensors = {**inception_v3().state_dict(), "fc.weight": torch.randn(1008, 2048), "fc.bias": torch.zeros(1008)}
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save(tensors, path)
    return path


def test_inception_has_the_size_that_is_published():
    with torch.device("meta"):
        network = inception_v3()
    # torchvision tells 27,161,264 with its side branch (3,326,696) and 1000 outputs of 2048 features.
    assert sum(p.numel() for p in network.parameters()) == 27_161_264 - 3_326_696 - (2048 * 1000 + 1000)
    names = network.state_dict()
    assert names["Mixed_6e.branch7x7dbl_4.conv.weight"].shape == (192, 192, 7, 1)
    assert names["Mixed_7c.branch3x3dbl_3b.conv.weight"].shape == (384, 384, 3, 1)
    assert names["Mixed_5b.branch_pool.bn.running_var"].shape == (32,)


def test_hidden_layers_of_inception(inception_file):
    layers = open_layers("inception", DATA, weights=inception_file)
    x = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
    maps = layers(x)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (64, 147, 147), (192, 71, 71), (288, 35, 35), (768, 17, 17), (2048, 8, 8)
    ]  # fmt: skip
    (slope,) = torch.autograd.grad(maps[-1].sum(), x)
    assert slope.abs().sum() > 0
    features = open_extractor("inception", DATA, weights=inception_file).features(x.detach())
    torch.testing.assert_close(maps[-1].mean((2, 3)), features, atol=1e-4, rtol=1e-3)


def test_inceptions_first_layers_and_means_are_what_they_should_be(inception_file):
    extractor = open_extractor("inception", DATA, weights=inception_file)
    x = torch.rand(3, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    features = extractor.features(x, batch_size=2)
    assert (features.shape, features.dtype) == ((3, 2048), torch.float32)
    torch.testing.assert_close(features[:1], extractor.features(x[:1].expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(features[0], features[1])
    layers, tensors = extractor._network, torch.load(inception_file, weights_only=True)
    image = torch.rand(1, 3, 299, 299)
    with torch.inference_mode():
        sizes = [image.shape[2]]
        for layer in layers:
            image = layer(image)
            sizes.append(image.shape[2])
        block = layers.Mixed_5b
        y = torch.rand(1, 192, 5, 5)
        mean = F.conv2d(F.pad(y, [1] * 4), torch.ones(192, 1, 3, 3), groups=192)
        mean = mean / F.conv2d(F.pad(torch.ones_like(y), [1] * 4), torch.ones(192, 1, 3, 3), groups=192)
        pooled = F.conv2d(mean, tensors["Mixed_5b.branch_pool.conv.weight"]) / (1 + 1e-3) ** 0.5
        torch.testing.assert_close(block(y)[:, -32:], pooled.relu(), atol=1e-5, rtol=1e-4)
    # Figure and table 1 of the paper: 299, 149, 147, 147, 73, 73 (1 x 1), 71, 35, three at 35, 17 ... , 8.
    assert sizes == [299, 149, 147, 147, 73, 73, 71, 35, 35, 35, 35, 17, 17, 17, 17, 17, 8, 8, 8]


def made_vit(depth=2, dim=128, side=37):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return 0.1 * torch.randn(shape, generator=generator)

    tensors = {"cls_token": drawn(1, 1, dim), "pos_embed": drawn(1, 1 + side**2, dim), "mask_token": drawn(1, dim)}
    tensors |= {"patch_embed.proj.weight": drawn(dim, 3, 14, 14), "patch_embed.proj.bias": drawn(dim)}
    tensors |= {"norm.weight": 1 + drawn(dim), "norm.bias": drawn(dim)}
    for i in range(depth):
        sizes = {
            "attn.qkv": (3 * dim, dim),
            "attn.proj": (dim, dim),
            "mlp.fc1": (4 * dim, dim),
            "mlp.fc2": (dim, 4 * dim),
        }
        for name, size in sizes.items():
            tensors |= {f"blocks.{i}.{name}.weight": drawn(*size), f"blocks.{i}.{name}.bias": drawn(size[0])}
        for name in ("norm1", "norm2"):
            tensors |= {f"blocks.{i}.{name}.weight": 1 + drawn(dim), f"blocks.{i}.{name}.bias": drawn(dim)}
        tensors |= {f"blocks.{i}.ls{j}.gamma": 1 + drawn(dim) for j in (1, 2)}
    return tensors


def blocks_of_torch(tensors, tokens, depth=2, dim=128):
    """The same blocks by nn.TransformerEncoderLayer, the scales multiplied into the weights before them."""
    for i in range(depth):
        layer = nn.TransformerEncoderLayer(dim, dim // 64, 4 * dim, 0, F.gelu, 1e-6, batch_first=True, norm_first=True)
        t = {name.removeprefix(f"blocks.{i}."): value for name, value in tensors.items()}
        g1, g2 = t["ls1.gamma"], t["ls2.gamma"]
        state = {
            "self_attn.in_proj_weight": t["attn.qkv.weight"],
            "self_attn.in_proj_bias": t["attn.qkv.bias"],
            "self_attn.out_proj.weight": g1[:, None] * t["attn.proj.weight"],
            "self_attn.out_proj.bias": g1 * t["attn.proj.bias"],
            "linear1.weight": t["mlp.fc1.weight"],
            "linear1.bias": t["mlp.fc1.bias"],
            "linear2.weight": g2[:, None] * t["mlp.fc2.weight"],
            "linear2.bias": g2 * t["mlp.fc2.bias"],
        }
        state |= {f"norm{j}.{kind}": t[f"norm{j}.{kind}"] for j in (1, 2) for kind in ("weight", "bias")}
        layer.load_state_dict(state)
        tokens = layer.eval()(tokens)
    return F.layer_norm(tokens, (dim,), tensors["norm.weight"], tensors["norm.bias"], 1e-6)


def test_dinov2_is_torchs_transformer_with_scales(tmp_path):
    tensors = made_vit(side=16)
    torch.save(tensors, tmp_path / "dino.pth")
    extractor = open_extractor("dinov2", DATA, weights=tmp_path / "dino.pth")
    x = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    found = extractor.features(x, batch_size=2)
    assert found.shape == (3, extractor.dim) == (3, 128)
    normal = (x - torch.tensor(dinov2._MEAN)[:, None, None]) / torch.tensor(dinov2._STD)[:, None, None]
    patches = F.conv2d(normal, tensors["patch_embed.proj.weight"], tensors["patch_embed.proj.bias"], stride=14)
    tokens = torch.cat([tensors["cls_token"].expand(3, -1, -1), patches.flatten(2).mT], 1) + tensors["pos_embed"]
    with torch.no_grad():
        torch.testing.assert_close(found, blocks_of_torch(tensors, tokens)[:, 0], atol=1e-4, rtol=1e-4)


def test_hidden_layers_of_dinov2(tmp_path):
    torch.save(made_vit(), tmp_path / "dino.pth")
    extractor = open_extractor("dinov2", DATA, weights=tmp_path / "dino.pth")
    x = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    first, last = open_layers("dinov2", DATA, weights=tmp_path / "dino.pth")(x)
    assert first.shape == last.shape == (2, 128, 1 + 16 * 16)
    assert torch.autograd.grad(first.sum(), x, retain_graph=True)[0].abs().sum() > 0
    ended = extractor._norm(last.transpose(1, 2), "norm")[:, 0]
    torch.testing.assert_close(ended, extractor.features(x.detach()), atol=1e-4, rtol=1e-3)


def test_dinov2_reads_the_layout_of_transformers_and_other_sizes_and_greys(tmp_path):
    tensors = made_vit()
    theirs = {}
    for name, tensor in tensors.items():
        for here, there in (
            ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
            ("pos_embed", "embeddings.position_embeddings"),
            ("cls_token", "embeddings.cls_token"),
            ("mask_token", "embeddings.mask_token"),
            ("attn.proj", "attention.output.dense"),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
            ("blocks.", "encoder.layer."),
        ):
            name = name.replace(here, there)
        if "attn.qkv" in name:
            for part, value in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                theirs[name.replace("attn.qkv", f"attention.attention.{part}")] = value.contiguous()
        else:
            theirs["layernorm." + name.removeprefix("norm.") if name.startswith("norm.") else name] = tensor
    expected = {name: tensor for name, tensor in tensors.items() if name != "mask_token"}
    found = in_authors_layout(theirs)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    safetensors.torch.save_file(theirs, tmp_path / "model.safetensors")
    extractor = open_extractor("dinov2", DATA, weights=tmp_path / "model.safetensors")
    assert extractor.features(torch.rand(1, 1, 28, 28)).shape == (1, 128)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"register_tokens": torch.zeros(1, 4, 128)}, "register_tokens is not a part of it; fetch"),
        ({"blocks.1.ls1.gamma": None}, "blocks.1.ls1.gamma is missing, of another shape or not finite"),
        ({"blocks.0.attn.qkv.bias": torch.zeros(128)}, "blocks.0.attn.qkv.bias is missing, of another shape"),
        ({"norm.bias": torch.full((128,), torch.nan)}, "norm.bias is missing, of another shape or not finite"),
    ],
)
def test_weights_of_another_transformer_than_dinov2_are_refused(changes, told, tmp_path):
    tensors = {name: tensor for name, tensor in {**made_vit(), **changes}.items() if tensor is not None}
    torch.save(tensors, tmp_path / "dino.pth")
    with pytest.raises(UserError, match=f"dino.pth: these are not weights of 'dinov2': {re.escape(told)}"):
        open_extractor("dinov2", DATA, weights=tmp_path / "dino.pth")


def test_downloads_are_checked_by_a_whole_checksum():
    for published in (inception.PUBLISHED, dinov2.PUBLISHED, lpips.VGG16, lpips.LINEAR):
        assert len(bytes.fromhex(published.sha256)) == 32
        begin = published.file.removesuffix(".pth").rsplit("-", 1)[-1]  # PyTorch's names end in the first eight digits
        assert published.sha256.startswith(begin) == (published in (inception.PUBLISHED, lpips.VGG16))


@pytest.mark.parametrize("name", ["inception", "dinov2"])
def test_missing_or_other_weights_are_an_error_of_one_line(name, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=rf"no weights of '{name}' at .*none\.pth; check the path or fetch https://"):
        open_extractor(name, DATA, weights=tmp_path / "none.pth")
    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", offline)
    told = rf"weights of '{name}' are not at {tmp_path}/weights/\S+\.pth and cannot be downloaded now; fetch"
    with pytest.raises(UserError, match=told):
        open_extractor(name, DATA, cache=tmp_path)
    torch.save({"other": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=rf"other\.pth: these are not weights of '{name}': \S+ is missing"):
        open_extractor(name, DATA, weights=tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"text\.pth holds no weights"):
        open_extractor(name, DATA, weights=tmp_path / "text.pth")


def offline(*_, **__):
    raise OSError("no network")
