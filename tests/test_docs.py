"""The documentation says what is so: each page's code runs, from its first block to its last, in one folder.

So do the README's commands, one after the other, on a small MNIST and small photos; its Python is in test_readme.py.

Commands run in this process, Python in one namespace per page. Trainings are made small, by `SMALL` and nothing else:
what a page sets itself stays as it is there, unless `SMALL` names it.
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
from vaegan.metrics.extractors import classifier, learned
from vaegan.settings_io import setting_names

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md"))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
SETTING_UP = ("python3 -m venv ", "source ", "pip install ")
"""Lines that `make test` has run in its own words before this file is reached."""
SMALL = {
    "device": "cpu",
    "data.limit": "300",
    "data.workers": "1",
    "train.images": "256",
    "train.pretrain_epochs": "0.5",
    "train.batch_size": "32",
    "train.snapshot_epochs": "1",
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
    for part in ("encoder", "decoder")
    for name, value in {"channels": "4,8,8", "groups": "2", "blocks": "1"}.items()
} | {"model.discriminator.channels": "4,8", "model.discriminator.strides": "2,1"}  # fmt: skip
LONGER = {"your-images": "4096", "attributes": "640"}
"""Images of the trainings of pages that need more to be learned."""
FEWER = {"evaluate": 100, "compare": 100, "nearest": 8}
"""`--num` of commands."""
MADE = {
    "index": ("digits.png", "pairs.png", "paths.gif", "runs/digits/report.html"),
    "your-images": ("pairs.png", "new.png", "hat.png", "edited.png"),
    "health": ("runs/look/report.html",),
    "attributes": ("all.png", "balanced.png", "linear.png", "apart.png", "checked-check.json", "told.png"),
    "evaluate": ("runs/vaegan/evaluation.json", "comparison.html", "comparison.md", "seeds.json", "nearest.png"),
    "fine-tune": ("tuned/priors.json", "tuned.png", "runs/vae-dis-l/model/config.json"),
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


def settings_for(recipe):
    """What makes trainings by this recipe small."""
    return SMALL | (OF_MLPS if "mlp" in recipe else OF_MAPS if recipe.startswith("kl-") else NARROW)


def smaller(words):
    """A command's words with less to do."""
    name, *rest = shlex.split(words, comments=True)[1:]
    if name == "train" and "--help" not in rest:
        recipe = rest[0] if rest and not rest[0].startswith("--") else "digits"
        own = {f"--{key.replace('_', '-')}": value for key, value in settings_for(recipe).items()}
        if "--train.pretrain-epochs" not in rest:
            del own["--train.pretrain-epochs"]
        kept = [word for i, word in enumerate(rest) if word not in own and (not i or rest[i - 1] not in own)]
        return [name, *kept, *(word for pair in own.items() for word in pair)]
    if name in FEWER:
        rest += ["--num", str(FEWER[name]), "--data.limit", SMALL["data.limit"]]
    return [name, *rest]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Trainings and evaluations by functions, too, are made small, and no cache but one of our own is used."""
    train = vaegan.train

    def train_small(recipe="digits", *, data=None, out=None, **settings):
        own = settings_for(recipe)
        del own["train.pretrain_epochs"]
        lists = (".channels", ".hidden", ".strides")
        own |= {name: tuple(map(int, own[name].split(","))) for name in own if name.endswith(lists)}
        own["train.priors"] = ("gaussian",)
        return train(recipe, data=data, out=out, **settings, **own)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vaegan, "train", train_small)
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 2000)
    monkeypatch.setattr(classifier, "train_classifier", partial(classifier.train_classifier, num_images=2000))
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
def test_every_block_of_a_page_runs(page, small, undone, capsys, plain_curves, monkeypatch):
    monkeypatch.setitem(SMALL, "train.images", LONGER.get(page.stem, SMALL["train.images"]))
    names = {"__name__": "__main__"}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec"), names)
        elif language == "bash":
            for line in lines(code):
                if line.startswith(SETTING_UP):
                    continue
                assert line.startswith("vaegan "), f"{page.name}: no test knows how to run `{line}`"
                assert cli.main(smaller(line)) == 0, f"{line}: {capsys.readouterr().err}"
        else:
            assert language == "text", f"{page.name}: say what language a block is in"
    assert [name for name in MADE.get(page.stem, ()) if not Path(name).exists()] == []
    if page.stem == "your-images":
        check_edited(names)


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


ELSEWHERE = {
    "vaegan studio ": "answers until it is stopped: tests of the studio",
    "vaegan serve ": "likewise",
    "vaegan push runs/mnist-conv me/digits --license cc-by-4.0 --out": "",
    "vaegan push ": "needs a hub: test_sharing_hub.py",
    "vaegan sample me/": "likewise",
    "vaegan reproduce ": "takes minutes: test_reproducing.py",
    "torchrun ": "test_train_processes.py",
    "make ": "runs these tests",
    "pip ": "make test does it",
    "python studies/": "test_studies.py, test_five_models.py, test_ten_times_as_long.py",
}
"""Commands that are run by other tests, by how they begin; an empty reason: not so."""


@pytest.fixture
def files(small):
    """What the README's commands ask for: MNIST below data/mnist, a folder of photos and the same as .zip."""
    digits = load_digits()
    images = np.kron(np.pad(digits.images, ((0, 0), (3, 3), (3, 3))), np.ones((1, 2, 2)))[:300] * (255 / 16)
    labels = digits.target[:300].astype(np.uint8)
    folder = small / "data" / "mnist"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">HBB3I", 0, 8, 3, *images.shape) + images.astype(np.uint8).tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 300) + labels.tobytes())
    faces = open_data("shapes-faces", size=16, limit=120).train
    photos = small / "photos"
    photos.mkdir()
    rows = ["file,Smiling"]
    for i, (pixels, known) in enumerate(zip(faces.images, faces.attributes, strict=True)):
        Image.fromarray(pixels).save(photos / f"{i}.png")
        rows.append(f"{i}.png,{known[0]:g}")
    (photos / "attributes.csv").write_text("\n".join(rows))
    shutil.make_archive("photos", "zip", photos)


@pytest.mark.slow
def test_every_command_of_the_readme_runs(files, capsys, plain_curves):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    known = (*ELSEWHERE, "vaegan ")
    commands = [line for _, code in blocks(ROOT / "README.md") for line in lines(code) if line.startswith(known)]
    assert len(commands) == len(re.findall(r"^(?:vaegan|torchrun|make|pip|python) ", text, re.MULTILINE)) > 40
    for line in commands:
        if next((why for start, why in ELSEWHERE.items() if line.startswith(start)), ""):
            continue
        words = smaller(line)
        if words[0] == "train" and "--help" not in words:
            words[words.index("--train.images") + 1] = "64"
            words += ["--data.size", "16"] if "conv-64" in words else []
        elif words[0] == "export":
            words += ["--form", "safetensors"]  # the others take seconds each: test_exporting.py
        if words[0] == "train" and "mnist" in words[1] and "--data.root" not in words:
            words += ["--data.root", "data/mnist"]
        assert cli.main(words) == 0, f"{line}: {capsys.readouterr().err}"
    made = "docs/images/mnist-conv-samples.png samples.npz pairs.npz paths.gif comparison.html runs/by-label card"
    assert [name for name in made.split() if not Path(name).exists()] == []


def test_pages_are_in_the_menu_and_links_lead_somewhere():
    menu = set(re.findall(r'"([\w/-]+\.md)"', (ROOT / "zensical.toml").read_text(encoding="utf-8")))
    there = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert menu - there == set()
    assert there - menu == {name for name in there if name.startswith("studies/")} - {"studies/README.md"}
    for path in DOCS.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)\s#]+)[^)]*\)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
        missing = [link for link in links if not link.startswith("http") and not (path.parent / link).exists()]
        assert missing == [], path


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


def test_functions_and_options_named_in_sentences_are_there():
    from vaegan import losses, objectives

    options = {f"--{name.replace('_', '-')}" for name in setting_names()}
    for name in cli.COMMANDS:
        command = __import__(f"vaegan.cli.{name}", fromlist=["Options"])
        options |= {f"--{field.replace('_', '-')}" for field in command.Options.model_fields}
    options |= {"--help", "--data"}
    for path in PAGES:
        prose = BLOCK.sub("", path.read_text(encoding="utf-8"))
        assert set(re.findall(r"(?<![\w-])--[a-z][\w.-]*\w", prose)) <= options, path
        for module, name in re.findall(r"`(losses|objectives)\.(\w+)", prose):
            assert hasattr({"losses": losses, "objectives": objectives}[module], name), f"{path}: {module}.{name}"


def test_modules_of_the_reference_are_there():
    import importlib

    for path in (DOCS / "api").glob("*.md"):
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert importlib.import_module(name).__doc__, name
