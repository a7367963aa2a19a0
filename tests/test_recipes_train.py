"""Every recipe trains a few steps on images of its size, with its own layers, and leaves all that it should."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import vaegan
from vaegan.distributed import World
from vaegan.metrics.extractors import learned
from vaegan.recipes import RECIPES, config_for
from vaegan.settings_io import load_yaml
from vaegan.training import profiling, setup, snapshots
from vaegan.training.factories import build_model
from vaegan.training.profiling import Work, expected_seconds, work_of_step

# Checkpoints would have hundreds of megabytes: a sixteenth of the width.
HEAVY = {"conv-64", "larsen-celeba64", "larsen-lfw64", "larsen-stl64", "munjal-celeba64", "shuntw-faces64"}
HEAVY |= {"tang-vaegan64"}
FORM = ["--device", "cpu", "--train.precision", "fp32", "--train.memory-format", "contiguous"]
LENGTH = ["--train.batch-size", "2", "--train.images", "4", "--train.log-images", "2", "--train.held-out-images", "2"]
WORDS = [
    *FORM,
    *LENGTH,
    "--train.tensorboard",
    "false",
    "--train.keep-checkpoints",
    "1",
    "--data.held-out",
    "0.3",
]
WORDS += ["--train.pretrain-epochs", "0"]
# Widths of recipes whose own would take minutes; those of the real ones are in test_recipes_networks.py.
OF_KL = ["--model.discriminator.channels", "4,8,8,8"]
for part in ("encoder", "decoder"):
    OF_KL += [f"--model.{part}.groups", "4", f"--model.{part}.blocks", "1"]
NARROW = {
    "kl-f4": ["--model.encoder.channels", "8,8,16", "--model.decoder.channels", "16,8,8", *OF_KL],
    "kl-f8": ["--model.encoder.channels", "8,8,8,16", "--model.decoder.channels", "16,8,8,8", *OF_KL],
}
for name in HEAVY:
    NARROW[name] = []
    for part in ("encoder", "decoder", "discriminator"):
        sizes = getattr(RECIPES[name].config.model, part)
        for setting in ("channels", "hidden"):
            if widths := getattr(sizes, setting):
                NARROW[name] += [f"--model.{part}.{setting}", ",".join(str(max(4, width // 16)) for width in widths)]
    NARROW[name] += ["--model.decoder.first-channels", str(RECIPES[name].config.model.decoder.first_channels // 16)]
GAME = {"real", "prior", "total"}
TERMS = {
    "ae": {"encoder": {"llike", "total"}, "decoder": {"llike", "total"}},
    "vae": {"encoder": {"kl", "llike", "total"}, "decoder": {"llike", "total"}},
    "gan": {"decoder": {"adversarial", "total"}, "discriminator": GAME},
    "vaegan": {
        "encoder": {"kl", "llike", "total"},
        "decoder": {"llike", "adversarial", "total"},
        "discriminator": GAME | {"reconstruction"},
    },
}


@pytest.fixture
def folder(tmp_path):
    """A folder that does not stay: pytest would keep those of the last three runs of the suite."""
    yield tmp_path
    shutil.rmtree(tmp_path)


ALONE = [name for name, recipe in RECIPES.items() if recipe.config.init_from is None]  # others: test_fine_tune.py


@pytest.mark.parametrize("name", ALONE)
def test_a_few_steps(name, command, folder, monkeypatch):
    monkeypatch.setattr(learned, "num_images_for", lambda num, shape: 20)
    monkeypatch.setattr(snapshots, "NUM_SAMPLES", 8)
    recipe = RECIPES[name]
    channels, height, width = recipe.image_shape
    images = np.random.default_rng(0).integers(0, 256, (20, height, width, channels)).astype(np.uint8)
    np.save(folder / "images.npy", images if channels == 3 else images[..., 0])
    run = folder / "run"
    words = [*WORDS, *NARROW.get(name, ()), "--data.cache", folder / "cache"]
    assert command("train", name, *words, "--data", folder / "images.npy", "--out", run) == 0
    kind = recipe.config.model.kind
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    expected = {
        "config.yaml",
        "data.json",
        "metrics.jsonl",
        "status.json",
        "losses.png",
        "model/config.json",
        "model/model.safetensors",
    }
    expected |= {"checkpoints/000000000004.pt", "checkpoints/000000000004.sha256"}
    expected |= {"samples.gif", "samples/000000000004.png"} if kind != "ae" else set()
    expected |= {"reconstructions/000000000004.png"} if kind != "gan" else set()
    expected |= {"triptychs/000000000004.png"} if kind not in ("ae", "gan") else set()
    assert files == expected
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(record["images"], record["split"]) for record in records] == [
        (0, "start"), (2, "train"), (4, "train"), (4, "test"),
    ]  # fmt: skip
    for record in records[1:]:
        unseen = {"reconstructions": {"prior"}, "prior": {"reconstruction"}}.get(recipe.config.loss.fakes, set())
        wanted = {part: terms - unseen for part, terms in TERMS[kind].items()}
        assert {part: set(terms) for part, terms in record["losses"].items()} == wanted
        assert all(math.isfinite(value) for terms in record["losses"].values() for value in terms.values())
    config = load_yaml(run / "config.yaml")
    loss = recipe.config.loss  # without labels, auto is a network that tells rotations
    loss = loss.model_copy(update={"perceptual": "rotations"}) if loss.perceptual == "auto" else loss
    assert (config.recipe, config.loss, config.optim) == (name, loss, recipe.config.optim)
    assert (config.model == recipe.config.model) == (name not in NARROW)
    model = vaegan.load(run)
    assert model.image_shape == recipe.image_shape
    if kind != "ae":
        assert model.sample(1).isfinite().all()


def test_operations_of_a_small_mlp_by_hand() -> None:
    """A GAN of dense layers: 3 passes of Dec and 6 of Dis (see `objectives.gan`), two operations for each weight."""
    config = RECIPES["mnist-gan"].config
    dec = 100 * 256 + 256 * 512 + 512 * 1024 + 1024 * 784
    dis = 784 * 1024 + 1024 * 512 + 512 * 256 + 256
    # No norm couples Dis's images: nothing more is owed. Codes and x take no gradient: a pass of each first layer less.
    wanted = 2 * (3 * dec - 100 * 256 + 6 * dis - 784 * 1024)
    size = config.train.batch_size
    work = work_of_step(config, (1, 28, 28))
    assert work.operations == wanted * size
    assert work.parameters == 2_948_113  # as `vaegan recipes` counts them
    assert expected_seconds(config, (1, 28, 28), 60_000, Work(1e-9, 0, 0, 0)) == pytest.approx(
        wanted * 50 * 60_000 / 1e9
    )
    few = config.model_copy(update={"train": config.train.model_copy(update={"images": 1000})})
    machine = Work(1e-9, 2e-6, 3e-9, 4e-9)
    a_step = 1e-9 * work.operations + 2e-6 * work.calls + 3e-9 * work.elements + 4e-9 * work.parameters
    assert expected_seconds(few, (1, 28, 28), 60_000, machine) == pytest.approx(a_step * 1000 / size)


@pytest.mark.parametrize(("name", "images_per_second"), [("mnist-mlp", 3430), ("mnist-conv", 1150), ("conv-64", 44)])
def test_expected_times_are_near_those_measured(name: str, images_per_second: float) -> None:
    recipe = RECIPES[name]
    images = recipe.config.train.epochs * recipe.num_images
    expected = images / expected_seconds(recipe.config, recipe.image_shape, recipe.num_images)
    assert expected == pytest.approx(images_per_second, rel=0.3)


def test_options_that_save_memory_lower_its_estimate() -> None:
    def memory(**train: Any) -> float:
        named = {"train.batch_size": 64, **{f"train.{name}": value for name, value in train.items()}}
        return work_of_step(config_for("conv-64", named), (3, 64, 64)).memory

    least = 3 * 4 * work_of_step(RECIPES["conv-64"].config, (3, 64, 64)).parameters
    plain, in_four, again = memory(), memory(accumulate=4), memory(checkpoint_activations=True)
    assert plain > again > least
    assert plain > in_four > least
    of_an_image = (plain - memory(batch_size=32)) / 32
    assert 5e6 < of_an_image < 20e6  # a map of 32 x 32, 64 wide, is 2.6e5 bytes


def test_a_step_that_does_not_fit_is_said_before_it_is_made(monkeypatch, caplog) -> None:
    config = config_for("conv-64", {"train.batch_size": 32})
    model = build_model(config, (3, 64, 64))

    def warnings(here: float, **named: Any) -> list[str]:
        caplog.clear()
        monkeypatch.setattr(setup, "memory_of", lambda device: int(here * 2**30))
        train = config.train.model_copy(update=named)
        setup._check_memory(config.model_copy(update={"train": train}), model, World(), torch.device("cpu"))
        return [record.getMessage() for record in caplog.records]

    (line,) = warnings(0.5)
    assert re.match(r"a training step needs at least \d\.\d GiB, more than the 0\.5 GiB of this machine; ", line)
    needed = work_of_step(config, (3, 64, 64)).memory / 2**30
    assert len(warnings(0.49 * needed, precision="bf16")) == 1
    assert warnings(64) == warnings(0.51 * needed, precision="bf16") == warnings(0.5, batch_size=2) == []


def test_counting_draws_no_random_number() -> None:
    state = torch.get_rng_state()
    work = work_of_step(RECIPES["conv-64"].config, (3, 64, 64))
    assert work.operations == pytest.approx(64 * 15.6e9, rel=0.01)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_list_is_narrow_and_builds_no_network(command, capsys, monkeypatch) -> None:
    monkeypatch.setattr("vaegan.networks.build_parts", None)
    monkeypatch.setattr(profiling, "work_of_step", None)
    assert command("recipes") == 0
    head, *lines, _, hint = capsys.readouterr().out.splitlines()
    assert head.split() == ["recipe", "model", "for", "what"]
    assert "--about" in hint
    for line, recipe in zip(lines, RECIPES.values(), strict=True):
        assert len(line) <= 100
        assert line.startswith(recipe.name + " ")
        assert line.split()[1] == recipe.config.model.kind
        assert f"{recipe.data}  " in line
        assert line.endswith(recipe.summary)


def test_the_list_needs_no_torch() -> None:
    code = "import sys; from vaegan.cli import main; main(['recipes']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_line_of_the_list_fits(recipe) -> None:
    assert len(recipe.data) <= 17
    assert len(recipe.summary) <= 56


def test_the_story_of_a_recipe(command, capsys) -> None:
    assert command("recipes", "--about", "edchengg-mnist") == 0
    told = capsys.readouterr().out
    assert "for MNIST, 28x28x1; vaegan, 7,328,569 parameters\n" in told
    assert re.search(
        r"\nestimates: about .* for 50 epochs of 60,000 images on 2 cores with AVX-512 and bfloat16; "
        r"at least 0\.\d+ GiB in float32 \(batches of \d+\)\n",
        told,
    )
    assert "origin: edchengg/VAE_GAN" in told
    assert "- fixed: Dec's cancelled adversarial gradient" in told
    assert command("recipes", "--about", "edcheng-mnist") == 2
    assert "unknown recipe 'edcheng-mnist' (perhaps you meant 'edchengg-mnist')" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_notes_are_lines(recipe) -> None:
    assert recipe.num_images >= 500
    assert all(note and "\n" not in note for note in recipe.notes)
    if not recipe.origin.startswith(("ours", "network of")):
        assert recipe.notes
