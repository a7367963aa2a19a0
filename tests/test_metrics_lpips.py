"""LPIPS: the published distance, step by step; the files it is read from; as a loss and as a figure."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from vaegan.data.dataset import ImageData, ImageSet
from vaegan.errors import UserError
from vaegan.metrics.extractors import features, lpips, weights
from vaegan.metrics.extractors.features import open_layers, open_lpips
from vaegan.objectives import LaplacePixels, PerceptualLikelihood

# torchvision's VGG16: a number is a convolution of so many channels, M a pooling.
VGG = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def data_of(*shape):
    height, width, channels = shape
    return ImageData("x", *[ImageSet(np.zeros((2, height, width, channels), np.uint8), ["0", "1"])] * 2, "x")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Random weights in the two published files, with dense layers that nothing reads."""
    folder, generator = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    vgg, place, width = {"classifier.6.bias": torch.zeros(1000)}, 0, 3
    for num in VGG:
        if num != "M":
            deviation = (2 / (9 * width)) ** 0.5
            vgg[f"features.{place}.weight"] = deviation * torch.randn(num, width, 3, 3, generator=generator)
            vgg[f"features.{place}.bias"] = 0.1 * torch.randn(num, generator=generator)
            width = num
        place += 1 if num == "M" else 2
    sizes = (64, 128, 256, 512, 512)
    linear = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1, generator=generator) for i, n in enumerate(sizes)}
    torch.save(vgg, folder / "vgg16-397923af.pth", _use_new_zipfile_serialization=False)  # as the published one
    torch.save(linear, folder / "vgg.pth")
    return folder


def reference(tensors, x_tilde, x):
    """The distance of colour images in [0, 1], one step after the other."""

    def maps(image):
        h = 2 * image - 1
        red, green, blue = h.unbind(1)
        h = torch.stack([(red + 0.030) / 0.458, (green + 0.088) / 0.448, (blue + 0.188) / 0.450], 1)
        place, behind = 0, []
        for num in VGG:
            if num == "M":
                behind.append(h)
                h = F.max_pool2d(h, kernel_size=2, stride=2) if len(behind) < 5 else h
                place += 1
            else:
                h = F.conv2d(h, tensors[f"features.{place}.weight"], tensors[f"features.{place}.bias"], padding=1)
                h = h.clamp(min=0)
                place += 2
        return behind

    total = 0.0
    for i, (a, b) in enumerate(zip(maps(x_tilde), maps(x), strict=True)):
        a = a / (a.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
        b = b / (b.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)
        total = total + F.conv2d((a - b) ** 2, tensors[f"lin{i}.model.1.weight"]).mean((1, 2, 3))
    return total


def tensors_of(folder):
    both = (torch.load(folder / name, weights_only=True) for name in ("vgg16-397923af.pth", "vgg.pth"))
    return {name: tensor for file in both for name, tensor in file.items()}


def test_distance_and_its_gradient_are_those_of_the_publication(files):
    x, x_tilde = torch.rand(2, 3, 3, 24, 33, generator=torch.Generator().manual_seed(0))
    x_tilde.requires_grad_()
    expected = reference(tensors_of(files), x_tilde, x)
    network = open_lpips(data_of(24, 33, 3), weights=files)
    found = network.distance(network(x_tilde), network(x))
    assert (found > 0.1).all()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    slopes = [torch.autograd.grad(value.sum(), x_tilde)[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-7)
    assert slopes[0].abs().max() > 1e-4
    torch.testing.assert_close(network.of_pairs(x_tilde, x), expected.detach(), rtol=1e-5, atol=1e-6)
    assert network.of_pairs(x, x).tolist() == [0.0] * 3


def test_large_images_are_compared_a_few_at_a_time(files, monkeypatch):
    network = open_lpips(data_of(16, 16, 3), weights=files)
    x, x_tilde = torch.rand(2, 5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected, seen, distance = network.of_pairs(x_tilde, x), [], network.distance
    monkeypatch.setattr(lpips, "_PIXELS_AT_ONCE", 2 * 256)
    monkeypatch.setattr(network, "distance", lambda *maps: seen.append(len(maps[0][0])) or distance(*maps))
    torch.testing.assert_close(network.of_pairs(x_tilde, x), expected)
    assert seen == [2, 2, 1]


def test_positions_where_all_features_are_0_have_a_gradient(files):
    network = open_lpips(data_of(16, 16, 3), weights=files)
    dead = {name: -torch.ones_like(t) if name.endswith("28.bias") else t for name, t in network._tensors.items()}
    dead["features.28.weight"] = torch.zeros_like(dead["features.28.weight"])
    network._tensors = dead
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    network.distance(network(x), network(torch.rand(1, 3, 16, 16))).sum().backward()
    assert x.grad.isfinite().all()


def test_grey_is_repeated_and_of_more_channels_the_bands_are_seen(files, caplog):
    x, x_tilde = torch.rand(2, 2, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    of_colour = open_lpips(data_of(16, 16, 3), weights=files).of_pairs
    of_grey = open_lpips(data_of(16, 16, 1), weights=files).of_pairs
    grey = [image[:, :1] for image in (x_tilde, x)]
    torch.testing.assert_close(of_grey(*grey), of_colour(*(image.repeat(1, 3, 1, 1) for image in grey)))
    with caplog.at_level("INFO", "vaegan"):
        of_bands = open_lpips(data_of(16, 16, 5), weights=files, bands=(5, 1, 2))
    assert "LPIPS sees channels 5, 1, 2 of 5" in caplog.text
    torch.testing.assert_close(of_bands.of_pairs(x_tilde, x), of_colour(x_tilde[:, [4, 0, 1]], x[:, [4, 0, 1]]))
    with pytest.raises(UserError, match="LPIPS needs images of at least 16 pixels a side, not 15x40"):
        open_lpips(data_of(15, 40, 3), weights=files)


def test_the_files_people_have_are_read(files, tmp_path, monkeypatch):
    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", offline)
    data, tensors = data_of(16, 16, 3), tensors_of(files)
    of_folder = open_lpips(data, weights=files)
    safetensors.torch.save_file(tensors, tmp_path / "both.safetensors")
    assert open_lpips(data, weights=tmp_path / "both.safetensors").fingerprint == of_folder.fingerprint
    fetch = "weights of 'lpips' are not at {} and cannot be downloaded now; fetch https://"
    with pytest.raises(UserError, match=fetch.format(tmp_path / "weights" / "vgg16-397923af.pth")):
        open_lpips(data, cache=tmp_path)
    for name in ("vgg16-397923af.pth", "vgg.pth"):  # of the first alone, the other is taken from the cache
        with pytest.raises(UserError, match=fetch.format(tmp_path / "weights" / "vgg.pth")):
            open_lpips(data, cache=tmp_path, weights=files / "vgg16-397923af.pth")
        (tmp_path / "weights").mkdir(exist_ok=True)
        (tmp_path / "weights" / name).symlink_to(files / name)
        if name == "vgg.pth":
            break
    assert open_lpips(data, cache=tmp_path, weights=files / "vgg16-397923af.pth").fingerprint == of_folder.fingerprint
    assert open_lpips(data, cache=tmp_path).fingerprint == of_folder.fingerprint
    safetensors.torch.save_file(tensors | {"features.5.bias": torch.zeros(64)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"not weights of 'lpips': features\.5\.bias is missing, of another shape"):
        open_lpips(data, weights=tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"vgg\.pth: these are not .*features\.0\.weight.*fetch .*vgg16-3979"):
        open_lpips(data, cache=tmp_path / "empty", weights=files / "vgg.pth")


def test_weights_that_are_not_finite_are_refused(files, tmp_path):
    tensors = tensors_of(files)
    tensors["features.28.bias"] = tensors["features.28.bias"] / 0
    torch.save(tensors, tmp_path / "both.pth")
    with pytest.raises(UserError, match=r"both\.pth: .*: features\.28\.bias is missing, .* not finite"):
        open_lpips(data_of(16, 16, 3), weights=tmp_path / "both.pth")


def test_the_loss_is_that_distance_for_each_value_of_an_image(files):
    layers = open_layers("lpips", data_of(16, 16, 3), weights=files)
    x, x_tilde = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    pixels = LaplacePixels((-1.0, 1.0), variance=0.5)
    likelihood = PerceptualLikelihood(pixels, layers, 0.5, (-1.0, 1.0))
    y, target = 2 * x_tilde - 1, 2 * x - 1
    expected = 0.5 * 3 * 16 * 16 * reference(tensors_of(files), x_tilde, x)
    torch.testing.assert_close(likelihood.loss(y, target) - pixels.loss(y, target), expected, rtol=1e-3, atol=1e-2)


def test_a_training_takes_it_or_says_what_is_missing(files, command, tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "noise.npy", rng.integers(0, 256, (40, 16, 16, 3), np.uint8))
    words = "train kl-f4 --model.kind vae --data.workers 1 --train.images 8 --train.tensorboard false --device cpu"
    narrow = "--model.encoder.channels 4,8,8 --model.decoder.channels 8,8,4 --train.precision fp32"
    narrow += " --model.encoder.groups 2 --model.decoder.groups 2 --model.encoder.blocks 1 --model.decoder.blocks 1"
    words = [*words.split(), *narrow.split(), "--train.memory-format", "contiguous", "--data.cache", tmp_path]
    words += ["--data", tmp_path / "noise.npy", "--data.size", "16", "--loss.perceptual"]
    first = {}
    for name, more in {"none": [], "lpips": ["--loss.perceptual-file", files]}.items():
        assert command(*words, name, *more, "--out", tmp_path / name) == 0
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        first[name] = next(line["losses"]["encoder"]["llike"] for line in lines if line["split"] == "train")
    assert first["lpips"] > first["none"] + 10
    # The files may move, but not change.
    shutil.copytree(files, tmp_path / "moved")
    further = [*words, "lpips", "--train.images", "16", "--out", tmp_path / "lpips", "--loss.perceptual-file"]
    assert command(*further, tmp_path / "moved") == 0
    with (tmp_path / "moved" / "vgg.pth").open("ab") as file:
        file.write(b"\0")
    assert command(*further, tmp_path / "moved") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"the weights in --loss.perceptual-file {tmp_path / 'moved'} differ from those" in error
    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", offline)
    assert command(*words, "lpips", "--out", tmp_path / "without") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the weights of 'lpips' are not at" in error
    assert "(--weights; in training --loss.perceptual-file)" in error


def test_what_is_at_hand_measures_and_nothing_is_downloaded_unasked(files, tmp_path, monkeypatch):
    class Means:
        fingerprint = "means"

        def __init__(self, weights, folder, device):
            assert weights is None
            assert (folder / "pt_inception-2015-12-05-6726825d.pth").is_file()

    monkeypatch.setitem(features._PUBLISHED, "inception", Means)
    monkeypatch.setattr(weights.torch.hub, "download_url_to_file", offline)
    data = data_of(16, 16, 3)

    def names(which="auto", data=data, extractor="pixels", **more):
        return list(features.open_published(which, data, extractor, cache=tmp_path, **more))

    assert names() == []
    assert names(weights=files) == ["lpips"]
    assert names(weights=files / "vgg.pth") == []  # the file of another network
    with pytest.raises(UserError, match="cannot be downloaded now"):
        names("download")
    (tmp_path / "weights").mkdir(exist_ok=True)
    for name in ("vgg16-397923af.pth", "vgg.pth"):
        (tmp_path / "weights" / name).symlink_to(files / name)
    (tmp_path / "weights" / "pt_inception-2015-12-05-6726825d.pth").touch()
    assert names() == names("download") == ["lpips", "inception"]
    assert names("none") == []
    assert names(extractor="inception") == ["lpips"]
    assert names(data=data_of(8, 8, 1)) == ["inception"]
    with pytest.raises(UserError, match="LPIPS needs images of at least 16 pixels a side, not 8x8"):
        names("download", data_of(8, 8, 1))


def offline(*_, **__):
    raise OSError("no network")
