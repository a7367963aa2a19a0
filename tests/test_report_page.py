"""What the page of `vaegan report` holds, read without a browser."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan.cli import main
from vaegan.config import Config
from vaegan.data import open_data
from vaegan.latent.clustering import kmeans
from vaegan.metrics.label_scores import cluster_scores
from vaegan.models import Model, load
from vaegan.pages import run_sections as snapshots
from vaegan.pages.run_page import _lead
from vaegan.recipes import config_for
from vaegan.runs.opened import OpenedRun
from vaegan.settings_io import dump_yaml, load_yaml

SECTIONS = {
    "reconstructions": "Reconstructions",
    "samples": "Samples",
    "interpolation": "Interpolation",
    "traversals": "Traversals",
    "attributes": "Attributes",
    "clusters": "Clusters",
    "health": "Health",
    "losses": "Losses",
    "snapshots-over-time": "Snapshots over time",
    "timing": "Timing",
    "configuration": "Configuration",
}
VOID = {"meta", "link", "img", "input", "br"}
LOSSES = {
    "encoder": {"kl": 3.0, "llike": 40.0, "total": 43.0},
    "decoder": {"llike": 40.0, "adversarial": 1.5, "total": 1.9},
    "discriminator": {"real": 0.7, "prior": 0.6, "total": 1.3},
}


def make_run(folder: Path, kind: str = "vaegan", snapshots: int = 3, **settings: Any) -> Path:
    """A run of digits whose last record has a KL of 3 * 0.9 and 2,000 images/s, and held-out values twice as large."""
    metric = {"loss.metric": "runs/gan"} if kind == "vae-dis-l" else {}
    config = config_for("digits", {"model.kind": kind, **metric, **settings})
    torch.manual_seed(0)
    Model.from_architecture({"image_shape": [1, 8, 8], **config.model.model_dump()}).save(folder / "model")
    dump_yaml(config, folder / "config.yaml")
    parts = {"ae": ("encoder", "decoder"), "vae": ("encoder", "decoder"), "gan": ("decoder", "discriminator")}
    used = parts.get(kind, tuple(LOSSES))
    rng = np.random.default_rng(0)
    with (folder / "metrics.jsonl").open("w", encoding="utf-8") as file:
        for step in range(1, snapshots * 40 + 1):
            ends = step % 40 == 0
            factor = 0.9 if ends else float(rng.uniform(0.8, 3))
            for split in ("train", "test") if ends else ("train",):
                file.write(json.dumps(record(step, split, used, factor * (1 + (split == "test")))) + "\n")
    for number in range(1, snapshots + 1):
        name = f"{number * 4000:012d}.png"
        for which in (["samples"] if kind != "ae" else []) + (["reconstructions"] if kind != "gan" else []):
            (folder / which).mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (120, 120), dtype=np.uint8)).save(folder / which / name)
    return folder


def record(step: int, split: str, parts: tuple[str, ...], factor: float) -> dict[str, Any]:
    """One line of metrics.jsonl."""
    losses = {part: {name: value * factor for name, value in LOSSES[part].items()} for part in parts}
    found = {"images": step * 100, "epoch": step / 16, "split": split, "losses": losses}
    health = [
        {"check": "kl", "state": "warning", "sentence": "codes carry 0.5 nats", "remedy": "lower --loss.kl-weight"}
    ]
    return found | ({"images_per_second": 2000.0} if split == "train" else {"health": health})


class Page(HTMLParser):
    """All elements with their attributes and the text inside them; sees to it that they are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open: list[tuple[str, str]] = []
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        if tag not in VOID:
            self._open.append((tag, found.get("id", "")))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for name in {tag for tag, _ in self._open} | {anchor for _, anchor in self._open if anchor}:
            self.inside.setdefault(name, []).append(data)

    def text(self, where: str) -> str:
        """The text inside all elements of this name, or the one with this id."""
        return " ".join(" ".join(self.inside.get(where, [])).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all elements of this name."""
        return [attributes for name, attributes in self.elements if name == tag]


def report(run: Path, *words) -> Page:
    assert main(["report", str(run), *map(str, words)]) == 0
    return Page(run / "report.html")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "my digits")


@pytest.fixture(scope="module")
def page(run):
    return report(run)


def test_every_section_is_there_and_linked(page):
    assert [found["id"] for found in page.all("section")] == list(SECTIONS)
    assert [found["href"] for found in page.all("a")] == ["#content", *(f"#{anchor}" for anchor in SECTIONS)]
    for anchor, title in SECTIONS.items():
        assert page.text(anchor).startswith(title)
    assert page.text("h1") == "my digits"
    assert "VAE/GAN on digits: 12,000 images seen in 7.5 epochs. Health: KL (warning)." in page.text("header")


@pytest.mark.parametrize(("epoch", "words"), [(1, "1 epoch"), (0.5, "0.5 epochs"), (2, "2 epochs")])
def test_one_epoch_is_no_plural(epoch, words, run):
    assert f"640 images seen in {words}." in _lead(OpenedRun(run), [{"images": 640, "epoch": epoch}])


def test_the_page_begins_with_pictures_and_all_else_is_folded(page):
    opened, folded, seen = 0, [], []
    for tag, attributes in page.elements:
        seen += [attributes["id"]] if tag == "section" else []
        if tag == "summary":
            folded.append(seen[-1])
        opened += tag == "img" and attributes.get("class") != "frame" and seen[-1] == "samples"
    assert seen[:2] == ["reconstructions", "samples"]
    assert seen[-1] == "configuration"
    assert folded == ["health", "losses", "snapshots-over-time", "configuration", "configuration"]
    assert opened == 1  # the grid of samples; those of the snapshots are folded


def test_nothing_comes_from_outside_and_no_place_is_named(page, run):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert re.match(r"data:|#|$", attributes.get(name, "")), (tag, name)
    assert re.findall(r"url\(|@import|https?:|//\w+\.", page.source) == []
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:;")
    assert str(run.parent) not in page.source


def test_losses_end_with_the_last_record(page):
    losses = page.text("losses")
    for last in ("kl 2.7 held out 5.4", "adversarial 1.35", "encoder llike 36 72", "prior 0.54 held out 1.08"):
        assert last in losses
    charts = [json.loads(found["data-points"]) for found in page.all("figure") if "data-points" in found]
    assert len(charts) == len(["encoder", "decoder", "discriminator", "speed"])
    for line in (line for chart in charts for line in chart):
        assert len(line["x"]) == len(line["y"]) == len(line["images"]) == len(line["values"])
        assert line["images"][-1] == 12000
        assert line["x"] == sorted(line["x"])
        assert 0 <= min(line["x"]) <= max(line["x"]) <= 360


def test_the_slider_has_a_frame_for_each_snapshot(page, run):
    (slider,) = page.all("input")
    moments = json.loads(slider["data-labels"])
    assert moments == [f"{n:,} images seen, epoch {n / 1600:g}" for n in (4000, 8000, 12000)]
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "2", "2")
    frames = [found for found in page.all("img") if found.get("class") == "frame"]
    assert ["hidden" in frame for frame in frames] == [True, True, False] * 2
    paths = [path for which in ("samples", "reconstructions") for path in sorted((run / which).glob("*.png"))]
    for frame, path in zip(frames, paths, strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(frame["src"].split(",")[1])))
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(path)))


def test_settings_that_differ_come_first(page, run):
    text = page.text("configuration")
    first, everything = text.split("All settings (")
    used, usual = (dict(flattened(config.model_dump())) for config in (load_yaml(run / "config.yaml"), Config()))
    differing = [name for name in used if used[name] != usual[name]]
    assert 5 < len(differing) < len(used)
    assert f"differ from the defaults ({len(differing)})" in first
    assert everything.startswith(f"{len(used)})")
    for name in (name for name in used if "." in name):
        assert (f" {name} " in first) == (name in differing)
        assert f" {name} " in everything
    assert re.search(r" model\.latent_dim Dimensions of z; channels if z is a map\. 16 16 20 ", first)
    assert re.search(r" optim\.weight_decay L2 penalty .*? decay \(adamw\)\. 0 0 0 ", everything)


def flattened(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_clusters_have_their_scores(page, run):
    data = open_data("digits").test
    clusters = kmeans(load(run).encode(torch.from_numpy(data.images).permute(0, 3, 1, 2) / 255), 10)
    text = page.text("clusters")
    assert f"NMI {cluster_scores(clusters.assignment, data.labels)['nmi']:.3f}" in text
    for cluster, size in enumerate(np.bincount(clusters.assignment, minlength=10)):
        assert f" {cluster}: {size} images," in text


def test_health_says_what_to_change(page):
    text = page.text("health")
    assert "codes carry 0.5 nats" in text
    assert "lower --loss.kl-weight" in text


def test_timing_follows_from_the_records(page):
    text = page.text("timing")
    assert "training 6 s" in text  # 12,000 images at 2,000 a second
    assert "per epoch 0.8 s" in text
    assert "mean 2,000 images/s" in text
    assert "precision auto" in text


def test_pictures_have_words_and_the_slider_a_name(page):
    assert all(len(image["alt"]) > 5 for image in page.all("img"))
    assert page.source.count("<figure") == page.source.count("<figcaption>")
    assert page.text("label") == "Snapshot"
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("ae", {"Samples": "plain autoencoder", "Traversals": "not a distribution"}),
        ("vae", {}),
        (
            "gan",
            dict.fromkeys(("Reconstructions", "Traversals", "Attributes", "Clusters"), "is a GAN and has no encoder"),
        ),
        ("vae-dis-l", {}),
        ("vaegan", {}),
    ],
)
def test_every_kind_of_model_has_a_page(kind, missing, tmp_path, capsys):
    found = report(make_run(tmp_path / "run", kind, snapshots=1), "--num", 60, "--k", 3)
    out = capsys.readouterr().out
    for anchor, title in SECTIONS.items():
        if title in missing:
            assert title in found.text("not-shown")
            assert missing[title] in found.text("not-shown")
            assert found.text(anchor) == ""
            assert f"section {title} left out: " in out
    assert out.count(" left out: ") == len(missing)
    assert len(found.all("section")) == len(SECTIONS) - len(missing) + bool(missing)


@pytest.mark.filterwarnings("ignore:invalid value")  # the share of variance of one point, which nobody asks for
def test_codes_of_one_dimension_and_a_single_image(tmp_path):
    run = make_run(tmp_path / "run", snapshots=1, **{"model.latent_dim": 1})
    assert "z0, " in report(run, "--num", 50).text("traversals")
    found = report(run, "--num", 1, "--k", 1)
    assert "Interpolation: A path needs 2 images" in found.text("not-shown")
    assert "0: 1 image, 100%" in found.text("clusters")


def test_a_run_that_has_just_begun(run, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_bytes((run / "config.yaml").read_bytes())
    found = report(folder)
    assert "Snapshots over time: No snapshots yet." in found.text("not-shown")
    assert "Losses: No losses recorded yet." in found.text("not-shown")
    assert "No speed recorded yet." in found.text("timing")
    assert "Attributes, Clusters: There is no model yet; training saves it with" in found.text("not-shown")
    assert capsys.readouterr().out.count(" left out: ") == 9


def test_a_model_alone_has_a_page(run, tmp_path):
    shutil.copytree(run / "model", tmp_path / "alone")
    words = ("--data", "digits", "--num", 50, "--k", 2, "--out", tmp_path / "page.html")
    assert main(["report", str(tmp_path / "alone"), *map(str, words)]) == 0
    found = Page(tmp_path / "page.html")
    assert [section["id"] for section in found.all("section")] == [*list(SECTIONS)[:6], "not-shown"]
    assert found.text("header").count("VAE/GAN.") == 1
    assert "0: " in found.text("clusters")


def test_images_without_labels_have_clusters_and_no_attributes(run, images_file, tmp_path):
    out = tmp_path / "page.html"
    words = ("--data", images_file, "--split", "train", "--k", 2, "--out", out)
    assert main(["report", str(run), *map(str, words)]) == 0
    found = Page(out)
    assert "Attributes: The data has neither labels nor attributes" in found.text("not-shown")
    assert "NMI" not in found.text("clusters")
    assert "training images" in found.text("clusters")


def test_a_run_from_elsewhere_without_its_images(tmp_path, capsys):
    run = make_run(tmp_path / "run", data="/home/somebody/photos")
    found = report(run)
    why = "Its training images are not available; name them with --data."
    assert f"Reconstructions, Traversals, Attributes, Clusters: {why}" in found.text("not-shown")
    assert "from the prior" in found.text("interpolation")
    assert "VAE/GAN on …/photos" in found.text("header")
    assert "somebody" not in found.source
    assert "/home/somebody/photos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--out page.pdf", "--out page.pdf: the report is a page; end its name in .html"),
        ("--data nowhere", "nowhere"),
        ("--num 0", "--num: '0' is not allowed: must be greater than 0"),
    ],
)
def test_mistakes_are_one_line(words, told, run, capsys):
    assert main(["report", str(run), *words.split()]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_only_the_default_page_is_replaced_unasked(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text("mine")
    assert main(["report", str(run), "--out", str(out)]) == 2
    assert "exists; choose another name or allow it to be replaced (--overwrite)" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_many_large_snapshots_stay_within_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshots, "FRAMES_LIMIT", 200_000)
    rng = np.random.default_rng(0)
    for number in range(100):
        for which in ("samples", "reconstructions"):
            (tmp_path / which).mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(tmp_path / which / f"{number}.png")
    section = snapshots.snapshots_section(tmp_path, [])
    (slider,) = section.blocks[0].blocks
    assert len(slider.labels) == snapshots.MAX_SNAPSHOTS
    assert (slider.labels[0], slider.labels[-1]) == ("0 images seen", "99 images seen")
    assert "40 of 100 snapshots are shown" in section.text
    assert 50_000 < sum(len(frame) for pane in slider.panes for frame in pane.frames) <= 200_000
    assert all(pane.size == (80, 80) for pane in slider.panes)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_missing_or_damaged_picture_is_said(tmp_path, content):
    run = make_run(tmp_path / "run")
    path = run / "samples" / f"{8000:012d}.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = report(run, "--num", 50)
    assert found.source.count("No picture at this snapshot.") == 1
    assert found.source.count('class="frame"') == 5


def test_names_from_the_data_are_text_and_not_markup(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    folder = tmp_path / "photos"
    for number, image in enumerate(images):
        group = folder / ("<script>alert(1)<" if number % 2 else "b\"&'")
        group.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(group / f"{number}.png")
    run = make_run(tmp_path / "run", data=str(folder), **{"data.cache": str(tmp_path / "cache")})
    found = report(run, "--split", "train", "--k", 2)
    assert "<script>alert(1)<" in found.text("clusters")
    assert len(found.all("script")) == 1


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, WCAG 2.2."""
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out(page, theme):
    block = re.findall(r":root \{(.*?)\}", page.source, re.DOTALL)[theme]
    colours = dict(re.findall(r"--([\w]+): (#\w{6})", block))
    for ground in ("paper", "card"):
        for name in ("ink", "quiet", "accent", *(f"c{i}" for i in range(10))):
            light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= (3 if name.startswith("c") else 4.5), (name, ground)
