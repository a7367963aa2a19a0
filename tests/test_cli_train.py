from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaegan.cli import main, train
from vaegan.cli.parse import parse
from vaegan.config import Config
from vaegan.errors import UserError
from vaegan.recipes import RECIPES, config_for
from vaegan.settings_io import dump_yaml, setting_names

CALLS = ["--" + name.replace("_", "-") for name in setting_names() if name != "recipe"]


def read(*words):
    return parse(train.Options, words, "vaegan train")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_by_name(name):
    assert read(name).settings == RECIPES[name].config
    assert read("--seed", "3", name).settings == config_for(name, {"seed": 3})


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ("--data mnist", {"data.source": "mnist"}),
        ("--data=mnist", {"data.source": "mnist"}),
        ("--data.source mnist --data.root a/b", {"data.source": "mnist", "data.root": "a/b"}),
        ("--loss.gamma 1e-6 --loss.kl-weight=2", {"loss.gamma": 1e-6, "loss.kl_weight": 2}),
        ("--loss.kl_weight 2", {"loss.kl_weight": 2}),
        ("--train.epochs 2.5 --train.batch-size 7", {"train.epochs": 2.5, "train.batch_size": 7}),
        ("--train.images 100 --train.images none", {"train.images": None}),
        ("--model.encoder.hidden 8 16 --seed 1", {"model.encoder.hidden": (8, 16), "seed": 1}),
        ("--model.encoder.hidden 8,16 4", {"model.encoder.hidden": (8, 16, 4)}),
        ("--model.encoder.hidden=8,16", {"model.encoder.hidden": (8, 16)}),
        ("--model.encoder.strides none", {"model.encoder.strides": None}),
        ("--model.encoder.hidden", {"model.encoder.hidden": ()}),
        ("--data.flip", {"data.flip": True}),
        ("--data.flip true --loss.gate=yes", {"data.flip": True, "loss.gate": True}),
        ("--model.encoder.norm-first-layer off", {"model.encoder.norm_first_layer": False}),
        ("--data.channels 1 --on-nan rollback", {"data.channels": 1, "on_nan": "rollback"}),
        ("--seed 1 --seed 2", {"seed": 2}),
    ],
)
def test_options_change_settings(words, overrides):
    assert read("mnist-mlp", *words.split()).settings == config_for("mnist-mlp", overrides)


def test_a_switch_does_not_swallow_the_recipe():
    assert read("--data.flip", "mnist-mlp").settings == config_for("mnist-mlp", {"data.flip": True})


def test_start_from_a_file(tmp_path):
    config = config_for("conv-32", {"seed": 5})
    dump_yaml(config, tmp_path / "c.yaml")
    options = read("--config", str(tmp_path / "c.yaml"), "--loss.gamma", "4")
    assert options.settings == config_for("conv-32", {"seed": 5, "loss.gamma": 4})


def test_help_shows_the_defaults_of_the_recipe_that_is_named(capsys):
    def default_of_lr(*words):
        assert main(["train", *words]) == 0
        text = " ".join(capsys.readouterr().out.replace("│", " ").split())
        return text.split("Learning rate. (default: ")[1].split(")")[0]

    for name in ("digits", "larsen-mnist"):
        assert default_of_lr(name, "--help") == str(RECIPES[name].config.optim.lr)
    assert default_of_lr("--help") == str(RECIPES["digits"].config.optim.lr)
    assert RECIPES["digits"].config.optim.lr != RECIPES["larsen-mnist"].config.optim.lr


def test_the_short_help_fits_a_screen_and_the_whole_one_has_everything(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "110")
    assert main(["train", "--help"]) == 0
    short = capsys.readouterr().out.splitlines()
    assert len(short) <= 60
    assert max(map(len, short)) <= 110
    assert main(["train", "--help-all"]) == 0
    whole = capsys.readouterr().out
    assert [call for call in CALLS if call not in whole and call != "--data.source"] == []
    assert "Isola et al." in whole
    for call in ("--data ", "--loss.gamma", "--model.kind", "--train.epochs", "--seed", "--out"):
        assert any(line.strip().startswith(call) for line in short), call
    assert not any("--loss.label-flip" in line for line in short)


def test_the_command_trains_into_the_named_folder(monkeypatch):
    import vaegan.training

    calls = []
    monkeypatch.setattr(vaegan.training, "train", lambda *args, **named: calls.append((*args, named)), raising=False)
    assert main(["train", "mnist-mlp", "--seed", "2"]) == 0
    assert main(["train", "--out", "a/b", "--overwrite"]) == 0
    config = config_for("mnist-mlp", {"seed": 2})
    assert calls == [
        (config, Path("runs/mnist-mlp"), {"overwrite": False}),
        (RECIPES["digits"].config, Path("a/b"), {"overwrite": True}),
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--data nowhere", "no such path: 'nowhere'; --data takes"),
        ("--data ~nobody-of-this-name/x", "'~nobody-of-this-name/x': "),
        ("--data photos --out photos/run", "--out photos/run is in the folder of the images ("),
        ("--data photos/in --out photos", None),  # exists, so that it may be a run: training looks into it
    ],
)
def test_missing_images_are_refused_before_torch_is_imported(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "vaegan.training", None)  # importing it fails
    (tmp_path / "photos").mkdir()
    assert main(["train", *words.split()]) == (2 if line else 1)
    assert capsys.readouterr().err.startswith(f"vaegan train: {line}" if line else "Traceback")
    assert [path.name for path in tmp_path.rglob("*")] == ["photos"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("train small-32 photos", "; to use these images, write --data photos"),
        ("evaluate run photos.zip", "; to use these images, write --data photos.zip"),
        ("train small-32 other.zip", ""),
        ("train small-32 notes.txt", ""),
        ("recipes photos", ""),
        (f"train small-32 {'x' * 300}", ""),
    ],
)
def test_images_that_are_an_unexpected_argument_are_answered_with_data(words, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("photos.zip", "notes.txt"):
        (tmp_path / name).touch()
    assert main(words.split()) == 2
    assert capsys.readouterr().err.endswith(f"{words.split()[-1]}; options start with --, see --help{hint}\n")


BAD = [
    ("mnist-mpl", "unknown recipe 'mnist-mpl' (perhaps you meant 'mnist-mlp')"),
    ("zzzz", "unknown recipe 'zzzz'; `vaegan recipes` lists them"),
    (".", "unknown recipe '.'; to use these images, write --data ."),
    ("digits digits", "unexpected argument digits; options start with --, see --help"),
    ("--loss.gama 3", "unknown option --loss.gama (perhaps you meant '--loss.gamma')"),
    ("--train.seed 3", "unknown option --train.seed (perhaps you meant '--seed')"),
    ("--model.epochs 3", "unknown option --model.epochs (perhaps you meant '--train.epochs')"),
    ("--train.nothing-like 3", "unknown option --train.nothing-like; --help lists them"),
    ("--gamma 3", "unknown option --gamma (perhaps you meant '--loss.gamma')"),
    ("--batch-size 3", "unknown option --batch-size (perhaps you meant '--train.batch-size')"),
    ("--train.keep 3", "--train.keep is now --train.keep-checkpoints"),
    ("--data.max_bad=1", "--data.max-bad is now --data.max-unreadable"),
    ("-q", "unknown option -q; --help lists them"),
    ("--recipe digits", "unknown option --recipe"),
    ("--loss.gamma", "--loss.gamma: value missing; write --loss.gamma VALUE"),
    ("--loss.gamma --seed 1", "--loss.gamma: value missing; write --loss.gamma VALUE"),
    ("--loss.gamma -1", "--loss.gamma: '-1' is not allowed: must be greater than or equal to 0"),
    ("--loss.gamma x", "--loss.gamma: 'x' is not allowed: must be a number"),
    ("--loss.gamma nan", "--loss.gamma: 'nan' is not allowed: must be a finite number"),
    ("--loss.kl-weight=-2", "--loss.kl-weight: '-2' is not allowed: must be greater than or equal to 0"),
    ("--train.epochs 0", "--train.epochs: '0' is not allowed: must be greater than 0"),
    ("--train.batch-size 1e30", "--train.batch-size: '1e30' is not allowed: must be a whole number"),
    ("--train.batch-size 10000000", "--train.batch-size: '10000000' is not allowed: must be less than or equal to 10"),
    ("--data.size 48y64", "--data.size: '48y64' is not allowed: must be a side in pixels (64) or height x width ("),
    ("--data.size 48x", "--data.size: '48x' is not allowed: must be a side in pixels (64) or height x width "),
    ("--data.size 48x64 --data.crop-size 40", "--data.crop-size 40 crops a square, and --data.size 48x64 is not squa"),
    ("--data.size 100000", "--data.size: '100000' is not allowed: must be a side in pixels (64) or height x "),
    ("--loss.gamma 1e300", "--loss.gamma: '1e300' is not allowed: must be less than or equal to 1000000000"),
    ("--train.batch-size 1.5", "--train.batch-size: '1.5' is not allowed: must be a whole number"),
    ("--model.latent-dim 0", "--model.latent-dim: '0' is not allowed: must be greater than 0"),
    (
        "--model.kind vea",
        "--model.kind: 'vea' is not allowed: must be 'ae', 'vae', 'gan', 'vae-dis-l' or 'vaegan' (perhaps",
    ),
    (
        "--train.priors kde,mixtur",
        "--train.priors: 'mixtur' is not allowed: must be 'gaussian', 'mixture', 'kde' or 'flow' (",
    ),
    ("--model.encoder.channels 8 0", "--model.encoder.channels: '0' is not allowed: must be greater than 0"),
    ("--model.encoder.hidden 1 x", "--model.encoder.hidden: 'x' is not allowed: must be a whole number"),
    ("--model.encoder.strides 1 x", "--model.encoder.strides: 'x' is not allowed: must be a whole number, or none"),
    ("--data.size x", "--data.size: 'x' is not allowed: must be a side in pixels (64) or height x"),
    ("--data.size 0", "--data.size: '0' is not allowed: must be a side in pixels (64) or height x"),
    ("--optim.clip x", "--optim.clip: 'x' is not allowed: must be a number, or none"),
    (
        "--data.channels 2",
        "digits: its images can have 1, 3 or 4 channels, not 2 (set by --data.channels or the model); leave",
    ),
    ("--data.flip=maybe", "--data.flip: 'maybe' is not allowed: must be True or False"),
    ("--data.held-out 1", "--data.held-out: '1' is not allowed: must be less than 1"),
    ("--seed -1", "--seed: '-1' is not allowed: must be greater than or equal to 0"),
    ("--seed 99999999999", "--seed: '99999999999' is not allowed: must be less than 2147483648"),
    ("--seed -q", "--seed: value missing; write --seed VALUE"),
    ("--on-nan go", "--on-nan: 'go' is not allowed: must be 'stop' or 'rollback'"),
    ("--config none.yaml", "cannot read settings none.yaml: No such file or directory; give a settings file"),
    ("digits --config none.yaml", "both recipe digits and --config none.yaml are given; name one of them"),
]


@pytest.mark.parametrize(("words", "line"), BAD, ids=[words for words, _ in BAD])
def test_a_mistake_is_one_line_and_leaves_nothing(words, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"vaegan train: {line}")
    assert len(captured.err) < 160
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


words = st.one_of(
    st.sampled_from([*CALLS, "--data", "--out", "--overwrite", "--config", "--loss.gama", "--", "-x", "--seed=1"]),
    st.sampled_from([*RECIPES, "none", "True", "-1", "1e-3", "2", "nan", "8,16", "", ",", "=", "stop"]),
    st.text(max_size=6),
)


@settings(max_examples=60)
@given(st.lists(words.filter(lambda word: word not in ("-h", "--help")), max_size=5))
@example(["digits", "\n"])
def test_any_words_give_settings_or_one_line(given_words):
    try:
        result = read(*given_words)
    except UserError as error:
        result = str(error)
    if isinstance(result, str):
        assert result.strip()
        assert "\n" not in result
    else:
        assert Config.model_validate(result.settings.model_dump()) == result.settings
