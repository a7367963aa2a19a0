"""The README and every page of the documentation run, from the first block to the last, in one folder each.

Commands run in this process, Python in one namespace per page. Blocks marked `bash` and `python` run, `text` does not:
its commands are those that other tests run (`ELSEWHERE`). Trainings are made small, by `SMALL` and nothing else: what a
page sets itself stays as it is there, unless `SMALL` names it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import subprocess
import sys
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import vaegan
from vaegan import cli
from vaegan.data import open_data
from vaegan.metrics.extractors import learned
from vaegan.metrics.extractors.classifier import train_classifier
from vaegan.recipes import RECIPES
from vaegan.views import attribute_edits

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
ELSEWHERE = {
    "python3 -m venv ": "make test did it before this file was reached",
    "source ": "likewise",
    "pip install ": "likewise",
    "make ": "it runs these tests",
    "torchrun ": "test_train_processes.py, test_latent_shards.py, test_evaluation_processes.py",
    "vaegan train kl-f4 --data 'https://example.com": "test_stream.py",
    "vaegan train kl-f4 --data 's3://bucket": "likewise",
    "vaegan train map-32 --data photos.zip": "test_recipes_train.py",
    "vaegan train map-64 --data smiles.zip": "likewise",
    "vaegan train photos-32 --data photos.zip": "likewise",
    "vaegan train small-32 --data photos.zip": "likewise",
    "vaegan evaluate runs/map-64": "test_cli_evaluate.py",
    "vaegan evaluate runs/photos-32": "likewise",
    "vaegan priors runs/photos-32": "test_cli_priors.py",
    "vaegan compare runs/map-0": "test_cli_compare.py",
    "vaegan studio ": "runs until it is stopped: tests of the studio",
    "vaegan serve ": "likewise",
    "vaegan train finetune-vae --init-from diffusers:stabilityai": "the next block, with a model that is there",
    "vaegan compare diffusers:stabilityai": "likewise",
    "vaegan priors runs/kl-f8": "of maps: test_cli_maps.py",
    "vaegan sample runs/kl-f8": "likewise",
    "vaegan push runs/digits me/digits --license cc-by-4.0\n": "needs a hub: test_sharing_hub.py",
    "vaegan sample me/": "likewise",
    "vaegan reproduce ": "takes minutes: test_reproducing.py",
    "python studies/": "test_studies.py, test_five_models.py, test_ten_times_as_long.py, test_readme_picture.py, "
    "test_photographs_study.py, test_published_likelihoods.py, test_fitted_priors.py",
}
"""Commands that are run by other tests, by how they begin, and where."""
SMALL = {
    "device": "cpu",
    "data.limit": "300",
    "data.workers": "1",
    "train.images": "256",
    "train.pretrain_epochs": "0.5",
    "train.batch_size": "32",
    "train.snapshot_epochs": "100",
    "train.held_out_images": "64",
    "train.precision": "fp32",
    "train.memory_format": "contiguous",
    "train.tensorboard": "false",
    "train.best_metric": "none",
    "train.priors": "gaussian",
}
"""Settings of every training."""
NARROW = {
    "model.encoder.channels": "4,8",
    "model.encoder.hidden": "16",
    "model.decoder.channels": "8,4",
    "model.decoder.first_channels": "8",
    "model.discriminator.channels": "4,8,8",
    "model.discriminator.strides": "1,2,2",
    "model.discriminator.hidden": "16",
}
"""Of convolutional ones."""
OF_MLPS = {f"model.{part}.hidden": "16" for part in ("encoder", "decoder", "discriminator")}
OF_MAPS = {"data.size": "16", "loss.perceptual": "none"} | {
    f"model.{part}.{name}": value
    for part, channels in (("encoder", "4,8,8"), ("decoder", "8,8,4"))
    for name, value in {"channels": channels, "groups": "2", "blocks": "1"}.items()
} | {"model.discriminator.channels": "4,8", "model.discriminator.strides": "2,1"}  # fmt: skip
LONGER = {"your-images": "4096", "attributes": "640"}
"""Images of the trainings of pages that need more to be learned."""
FEWER = {"evaluate": 100, "compare": 100, "nearest": 8}
"""`--num` of commands."""
WITH_FILES = {
    "README", "commands", "conditional", "fine-tune", "large-data", "latent-diffusion", "priors", "recipes", "results",
    "sources",
}  # fmt: skip
"""Pages that start from MNIST in `data/mnist` and a folder of photos."""
MADE = {
    "README": ("runs/photos/evaluation.json", "new.png"),
    "commands": ("samples.npz", "pairs.npz", "paths.gif", "runs/mnist-conv/report.html"),
    "conditional": ("smiling.png",),
    "latent-diffusion": (
        "runs/kl-f4/export/diffusers/config.json",
        "runs/equivariant/model/config.json",
        "runs/aligned/model/config.json",
        "latents/latents_stats.pt",
        "standardised/diffusers/config.json",
        "wide.png",
        "tiled-codes.npz",
        "large-result.npy",
        "pictures/reconstruct.png",
        "published.json",
    ),
    "priors": ("runs/by-label/priors.json",),
    "other-images": ("true-colour.png", "infrared.png", "sprites.png"),
    "large-data": ("runs/stream/model/config.json", "latents/statistics.json"),
    "recipes": ("runs/photos-1/model/config.json", "runs/vae-dis-l/model/config.json", "runs/few/model/config.json"),
    "python": ("my-model/config.json", "runs/short/model/config.json"),
    "results": ("mnist-conv-samples.png", "mnist-mlp-samples.png", "runs/eight-epochs/evaluation.json"),
    "sources": ("runs/photos/data.json", "runs/wide/data.json"),
    "index": ("digits.png", "pairs.png", "paths.gif", "runs/digits/report.html"),
    "your-images": ("pairs.png", "new.png", "hat.png", "edited.png"),
    "health": ("runs/look/report.html",),
    "attributes": ("all.png", "balanced.png", "linear.png", "apart.png", "checked-check.json"),
    "evaluate": ("runs/vaegan/evaluation.json", "comparison.html", "comparison.md", "seeds.json", "nearest.png"),
    "fine-tune": (
        "runs/shapes/initial.json",
        "runs/tuned/export/diffusers/config.json",
        "tuned.json",
        "runs/plain/model/config.json",
        "tuned/priors.json",
        "tuned.png",
        "runs/vae-dis-l/model/config.json",
    ),
    "studio": ("all.png", "hat.png"),
    "share": ("card/README.md", "look-first/README.md", "export/decoder.pt2"),
    "extend": ("mine/config.json", "runs/stripes/model/config.json"),
}
"""What a page says will be there in the end."""


def blocks(path):
    """Language and code of each block, in order."""
    for indent, language, code in BLOCK.findall(path.read_text(encoding="utf-8")):
        yield language, "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))


def lines(code):
    """Commands of a block, those over several lines as one."""
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def settings_for(recipe, kind=None):
    """What makes trainings by this recipe small, without sizes of a network that the kind of model lacks."""
    kind = kind or RECIPES[recipe].config.model.kind
    lacked = {"gan": "encoder", "vaegan": "none"}.get(kind, "discriminator")
    return {name: value for name, value in _sizes_for(recipe).items() if not name.startswith(f"model.{lacked}.")}


def _sizes_for(recipe):
    if recipe == "conv-64":
        return SMALL | NARROW | {"data.size": "16", "train.images": "64"}
    return SMALL | (OF_MLPS if "mlp" in recipe else OF_MAPS if recipe.startswith(("kl-", "finetune-")) else NARROW)


def smaller(words):
    """A command's words with less to do."""
    name, *rest = shlex.split(words, comments=True)[1:]
    if name == "train" and "--help-all" not in rest:
        recipe = rest[0] if rest and not rest[0].startswith("--") else "digits"
        kind = rest[rest.index("--model.kind") + 1] if "--model.kind" in rest else None
        own = {f"--{key.replace('_', '-')}": value for key, value in settings_for(recipe, kind).items()}
        if "--train.pretrain-epochs" not in rest:
            del own["--train.pretrain-epochs"]
        kept = [word for i, word in enumerate(rest) if word not in own and (not i or rest[i - 1] not in own)]
        return [name, *kept, *(word for pair in own.items() for word in pair)]
    if name in FEWER:
        rest += ["--num", str(FEWER[name]), "--data.limit", SMALL["data.limit"]]
    if name == "export" and "--format" not in rest:  # graphs: test_exporting.py
        rest += ["--format", "safetensors"]
    if "--check" in rest:
        rest = [*(word for word in rest if word not in ("--check-images", "500")), "--check-images", "40"]
    return [name, *rest]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home of all pages: what is cached there is found by the data it is of, so no extractor is trained twice."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def small(monkeypatch, tmp_path, home):
    """Trainings and evaluations by functions, too, are made small, and no cache but one of our own is used."""
    train = vaegan.train

    def train_small(recipe="digits", *, data=None, out=None, **settings):
        own = settings_for(recipe, settings.get("model.kind"))
        del own["train.pretrain_epochs"]
        lists = (".channels", ".hidden", ".strides")
        own |= {name: tuple(map(int, own[name].split(","))) for name in own if name.endswith(lists)}
        own["train.priors"] = ("gaussian",)
        return train(recipe, data=data, out=out, **settings, **own)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(vaegan, "train", train_small)
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 1000)
    monkeypatch.setattr(attribute_edits, "train_classifier", partial(train_classifier, num_images=1000))
    return tmp_path


@pytest.fixture
def undone():
    """What a page adds to the package's lists is taken out again."""
    from vaegan.data.sources import SOURCES
    from vaegan.losses import ADVERSARIAL_FORMS

    before = dict(SOURCES), dict(ADVERSARIAL_FORMS)
    yield
    for now, then in zip((SOURCES, ADVERSARIAL_FORMS), before, strict=True):
        now.clear()
        now.update(then)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_block_of_a_page_runs(page, small, undone, capsys, onnx_registry, monkeypatch):
    monkeypatch.setitem(SMALL, "train.images", LONGER.get(page.stem, SMALL["train.images"]))
    if page.stem in WITH_FILES:
        write_files(small)
    names = {"__name__": "__main__"}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec"), names)
        elif language == "bash":
            for line in lines(code):
                if is_elsewhere(line):
                    continue
                assert line.startswith("vaegan "), f"{page.name}: no test knows how to run `{line}`"
                assert cli.main(smaller(line)) == 0, f"{line}: {capsys.readouterr().err}"
        else:
            assert language in ("text", "bibtex"), f"{page.name}: say what language a block is in"
            not_run = [line for line in lines(code) if re.match("(vaegan|torchrun|make|pip|python) ", line)]
            assert [line for line in not_run if not is_elsewhere(line)] == []
    assert [name for name in MADE.get(page.stem, ()) if not Path(name).exists()] == []
    if page.stem == "your-images":
        check_edited(names)


def is_elsewhere(line):
    """Whether other tests run the command."""
    return f"{line.strip()}\n".startswith(tuple(ELSEWHERE))


def check_edited(names):
    """The newcomer's last picture is there, is that of the edited code, and is not what the plain code gives."""
    assert len(list(Path("photos").glob("*.png"))) == 500
    plain = names["model"].decode(names["z"])
    assert not torch.equal(names["edited"], plain)
    with Image.open("edited.png") as picture:
        assert picture.size == (256, 256)
        shown = np.asarray(picture.resize(names["edited"].shape[2:], Image.Resampling.BOX), float)
    wanted = names["edited"][0].permute(1, 2, 0).numpy() * 255
    assert wanted.std() > 20  # no flat grey: something was learned
    assert np.abs(shown - wanted).mean() < 3


def write_files(folder):
    """Write MNIST below data/mnist, a folder of photos and the same as .zip."""
    digits = load_digits()
    images = np.kron(np.pad(digits.images, ((0, 0), (3, 3), (3, 3))), np.ones((1, 2, 2)))[:300] * (255 / 16)
    labels = digits.target[:300].astype(np.uint8)
    mnist = folder / "data" / "mnist"
    mnist.mkdir(parents=True)
    for part in ("train", "t10k"):
        (mnist / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">HBB3I", 0, 8, 3, *images.shape) + images.astype(np.uint8).tobytes()
        )
        (mnist / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 300) + labels.tobytes())
    faces = open_data("shapes-faces", size=16, limit=120).train
    photos = folder / "photos"
    photos.mkdir()
    rows = ["file,Smiling"]
    for i, (pixels, values) in enumerate(zip(faces.images, faces.attributes, strict=True)):
        Image.fromarray(pixels).save(photos / f"{i}.png")
        rows.append(f"{i}.png,{values[0]:g}")
    (photos / "attributes.csv").write_text("\n".join(rows))
    shutil.make_archive("photos", "zip", photos)


@pytest.mark.slow
def test_the_site_is_built(tmp_path):
    """As `make docs` does it, warnings being errors, in a folder of its own; the reference has the docstrings."""
    pytest.importorskip("zensical", reason="needs the extra docs: pip install -e '.[docs]'")
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "src").symlink_to(ROOT / "src")
    words = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in DOCS.rglob("*.md"):
        title = next(line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
        built = tmp_path / "site" / page.relative_to(DOCS).with_suffix(".html")
        built = built.with_name("index.html") if built.stem == "README" else built
        assert escape(title[2:].replace("`", ""), quote=False) in re.sub("<[^>]+>", "", built.read_text("utf-8")), page
    models = (tmp_path / "site" / "api" / "models.html").read_text(encoding="utf-8")
    assert "by the conventions of huggingface_hub" in re.sub("<[^>]+>", "", models)
