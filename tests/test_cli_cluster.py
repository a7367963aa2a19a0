from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.cli import main
from vaegan.data import open_data
from vaegan.errors import UserError
from vaegan.latent.clustering import kmeans
from vaegan.metrics.label_scores import cluster_scores
from vaegan.models import Model, load
from vaegan.recipes import config_for
from vaegan.report import grid
from vaegan.runs.opened import OpenedRun
from vaegan.settings_io import dump_yaml


def make_run(folder: Path, **model) -> Path:
    config = config_for("digits", {f"model.{name}": value for name, value in model.items()})
    torch.manual_seed(0)
    Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}).save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def run_of_dim(tmp_path_factory):
    return cache(lambda dim: make_run(tmp_path_factory.mktemp("runs") / "small", latent_dim=dim))


def command(*words) -> int:
    return main(["cluster", *map(str, words)])


def test_everything_is_written_and_the_scores_are_those_of_the_clusters(run, tmp_path, capsys):
    out = tmp_path / "c"
    assert command(run, "--out", out, "--split", "train", "--num", 300, "--k", 4, "--gallery", 5) == 0
    with np.load(out / "clusters.npz") as file:
        found = dict(file)
    train = open_data("digits").train
    rows = [list(train.names).index(name) for name in found["names"]]
    x = torch.from_numpy(train.images[rows]).permute(0, 3, 1, 2) / 255
    np.testing.assert_allclose(found["codes"], load(run).encode(x).numpy(), atol=1e-4)
    report = json.loads((out / "clusters.json").read_text())
    assert report["how"] == "kmeans"
    assert report["sizes"] == np.bincount(found["clusters"], minlength=4).tolist()
    (scores,) = report["scores"]
    for name, score in cluster_scores(found["clusters"], train.labels[rows]).items():
        assert scores[name] == pytest.approx(score)
    for name in ("gallery.png", "map.png"):
        with Image.open(out / name) as picture:
            assert min(picture.size) > 200
    text = capsys.readouterr().out
    assert f"{scores['nmi']:.3f}" in text
    assert text.startswith("clusters by k-means; those by 'manifold' are often better: pip install 'vaegan[cluster]'\n")
    assert re.search("\npoints  matched accuracy  NMI +ARI +purity\n", text)
    assert f"follow the labels: {scores['purity']:.0%} of the images" in text


def test_held_out_images_join_the_clusters_of_training_images(run, tmp_path, capsys):
    words = ("--num", 50, "--k", 3, "--seed", 4, "--method", "kmeans", "--map", "none")
    assert command(run, *words, "--fit-images", 200, "--out", tmp_path / "c") == 0
    assert "3 clusters found among 200 training images, with 50 images in them" in capsys.readouterr().out
    opened = OpenedRun(run)
    among, shown = (opened.encode(opened.images(*of, 4))[0] for of in (("train", 200), ("test", 50)))
    with np.load(tmp_path / "c" / "clusters.npz") as file:
        assert np.array_equal(file["clusters"], kmeans(among, 3, seed=4).assign(shown))
    assert command(run, *words, "--fit-images", 0, "--out", tmp_path / "d") == 0
    with np.load(tmp_path / "d" / "clusters.npz") as file:
        assert np.array_equal(file["clusters"], kmeans(shown, 3, seed=4).assignment)


def test_there_are_as_many_clusters_as_labels(run, told_images, tmp_path):
    words = ("--data", told_images, "--split", "train", "--num", 20, "--map", "none", "--out", tmp_path / "c")
    assert command(run, *words) == 0
    assert json.loads((tmp_path / "c" / "clusters.json").read_text())["k"] == 2


def test_baselines_over_seeds_have_intervals(run, capsys):
    words = ("--num", 200, "--k", 3, "--baselines", "--repeats", 3, "--restarts", 1, "--map", "none", "--seed", 5)
    assert command(run, *words, "--method", "mixture") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["points", "codes", "pixels", "PCA"]
    assert all(line.count("±") == 4 for line in lines[1:4])
    report = json.loads((run / "pictures" / "cluster" / "clusters.json").read_text())
    values = [score["ari"] for score in report["scores"] if score["points"] == "pixels"]
    assert [score["seed"] for score in report["scores"]] == [5, 6, 7] * 3
    # t of 2 degrees of freedom at 97.5 % is 4.303.
    expected = f"{np.mean(values):.3f} ± {4.303 * np.std(values, ddof=1) / 3**0.5:.3f}"
    assert expected in lines[2]
    assert not (run / "pictures" / "cluster" / "map.png").exists()


def test_manifold_is_the_default_where_umap_is_installed(run, tmp_path, monkeypatch):
    dims = []

    class UMAP:
        def __init__(self, n_neighbors, n_components, **settings):
            dims.append(n_components)

        def fit_transform(self, z):
            dims.append(z.shape[1])
            return z[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP, __spec__="found"))
    words = ("--num", 60, "--k", 3, "--restarts", 1, "--baselines", "--map", "none", "--out", tmp_path / "c")
    assert command(run, *words) == 0
    assert json.loads((tmp_path / "c" / "clusters.json").read_text())["how"] == "manifold"
    latent = load(run).latent_dim
    assert dims == [3, latent, 3, 64, 3, latent]  # codes, pixels, principal components


def test_a_failure_leaves_no_folder_that_blocks_the_next(run, tmp_path, capsys, monkeypatch):
    words = (run, "--split", "train", "--num", 60, "--k", 2, "--fit-images", 0, "--out", tmp_path / "c")
    with monkeypatch.context() as changed:
        changed.setattr(grid, "write_picture", lambda *_: (_ for _ in ()).throw(UserError("the disk is full")))
        assert command(*words) == 2
    assert command(*words, "--overwrite") == 0


def test_images_without_labels_have_clusters_but_no_scores(run, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (80, 8, 8), dtype=np.uint8))
    words = ("--data", tmp_path / "x.npy", "--split", "train", "--k", 2, "--out", tmp_path / "c")
    assert command(run, *words) == 0
    assert "points" not in capsys.readouterr().out
    assert (tmp_path / "c" / "map.png").is_file()
    assert command(run, *words, "--map", "none", "--overwrite") == 0
    assert not (tmp_path / "c" / "map.png").exists()  # it was of earlier clusters
    assert command(run, *words) == 2
    assert "exists; choose another name or allow it to be replaced (--overwrite)" in capsys.readouterr().err
    assert command(run, *words, "--overwrite") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--num 5 --fit-images 0", "5 images are too few for 10 clusters"),
        ("--num 5", "5 images are too few for 10 clusters; use more images or fewer clusters (--k)"),
        ("--num 1 --method kmeans", "1 image is too few for 10 clusters"),
        ("--fit-images 9 --baselines", "--baselines compares clusters of the images shown themselves"),
        ("--k 0", "--k: '0' is not allowed: must be greater than 0"),
        ("--out c.png", "--out c.png: this command writes several files; name a folder"),
        ("--method manifold", "clusters by 'manifold' need umap-learn: pip install 'vaegan[cluster]'"),
        ("--map tsne", "t-SNE needs openTSNE: pip install 'vaegan[tsne]', or use --map pca"),
        ("--map umap", "--map: 'umap' is not allowed: must be 'pca', 'tsne' or 'none'"),
    ],
)
def test_mistakes_are_one_line(words, told, run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    monkeypatch.setattr("vaegan.views.clusters.clusterings", None)  # nothing is clustered before
    assert command(run, *words.split()) == 2
    assert told in capsys.readouterr().err


def test_a_gan_has_no_codes(tmp_path, capsys):
    assert command(make_run(tmp_path / "gan", kind="gan")) == 2
    assert "this model is a GAN and has no encoder" in capsys.readouterr().err


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize(
    "words",
    [
        "cluster --num 60 --k 3 --restarts 1",
        "cluster --num 60 --k 3 --restarts 1 --method mixture",
        "attributes --num 1 --images 200",
        "traverse --images 50 --steps 3",
        "interpolate --num 2 --method spherical",
        "interpolate --num 2 --between four --steps 3",
        "nearest --num 3 --held-out 9",
        "report --num 50",
    ],
)
def test_every_command_takes_codes_of_one_or_two_dimensions(dim, words, run_of_dim):
    name, *options = words.split()
    assert main([name, str(run_of_dim(dim)), *options]) == 0
