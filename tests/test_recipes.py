from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from vaegan.config import Config
from vaegan.errors import UserError
from vaegan.recipes import RECIPES, config_for
from vaegan.settings_io import RENAMED, dump_yaml, load_yaml, setting_names, with_settings

NAMES = list(setting_names())
BEFORE = json.loads((Path(__file__).parent / "recipes.json").read_text())


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_names_itself_and_tells_its_story(recipe):
    assert RECIPES[recipe.name] is recipe
    assert recipe.config.recipe == recipe.name
    for text in (recipe.summary, recipe.data, recipe.origin):
        assert text
        assert "\n" not in text
        assert len(text) < 100


@pytest.mark.parametrize("name", RECIPES)
def test_yaml_round_trip(name, tmp_path):
    config = with_settings(RECIPES[name].config, {"data": "123", "data.root": tmp_path, "optim.lr": 1e-5})
    dump_yaml(config, tmp_path / "config.yaml")
    assert load_yaml(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_what_they_were(name, tmp_path):
    """Every setting as of version 0.1.0, in the names of then: trainings repeat bit for bit."""
    before = {**BEFORE["defaults"], **BEFORE["recipes"][name]}
    tree: dict = {}
    for setting, value in before.items():
        *groups, last = setting.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree))
    assert load_yaml(tmp_path / "config.yaml") == RECIPES[name].config


def test_a_file_with_earlier_names_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("train: {keep: 7, select: fd, select_images: 9}\ndata: {max_bad: 0.5}")
    config = load_yaml(path)
    assert (config.train.keep_checkpoints, config.train.best_metric, config.train.best_images) == (7, "fd", 9)
    assert config.data.max_unreadable == 0.5
    assert set(RENAMED.values()) <= set(NAMES)
    with pytest.raises(UserError, match=r"^train.keep is now train.keep_checkpoints$"):
        config_for("digits", {"train.keep": 3})


def test_the_file_is_complete(tmp_path):
    dump_yaml(Config(), tmp_path / "config.yaml")
    values = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert values.pop("format") == 1
    found = []

    def walk(tree, prefix=""):
        for key, value in tree.items():
            walk(value, f"{prefix}{key}.") if isinstance(value, dict) else found.append(prefix + key)

    walk(values)
    assert found == NAMES


def test_overrides_by_dotted_name():
    config = config_for("mnist-conv", {"loss.gamma": 3, "data": "lfw", "train.batch-size": "12", "optim.lr": "1e-3"})
    assert (config.loss.gamma, config.data.source, config.train.batch_size) == (3.0, "lfw", 12)
    assert config.optim.lr == 1e-3
    assert config.model == RECIPES["mnist-conv"].config.model


def test_yaml_reads_a_number_that_yaml_takes_for_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("optim:\n  lr: 1e-3\n  clip: 2\n")
    config = load_yaml(path)
    assert (config.optim.lr, config.optim.clip) == (1e-3, 2.0)
    assert config.model == Config().model


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"loss.gamma": -1}, "loss.gamma: -1 is not allowed: must be greater than or equal to 0"),
        ({"loss.gama": 1}, "unknown setting 'loss.gama' (perhaps you meant 'loss.gamma')"),
        ({"qqqq": 1}, "unknown setting 'qqqq'; `vaegan train --help` lists them"),
        ({"loss": 1}, "loss is a group of settings; name one of them, such as loss.gamma"),
        ({"loss.gamma": "x"}, "loss.gamma: 'x' is not allowed: must be a number"),
        ({"loss.gamma": float("nan")}, "loss.gamma: nan is not allowed: must be a finite number"),
        (
            {"model.kind": "vea"},
            "model.kind: 'vea' is not allowed: must be 'ae', 'vae', 'gan', 'vae-dis-l' or 'vaegan' "
            "(perhaps you meant 'vae')",
        ),
        (
            {"model.encoder.channels": (8, 0)},
            "model.encoder.channels: 0 is not allowed: must be greater than 0",
        ),
        ({"data.channels": 0}, "data.channels: 0 is not allowed: must be greater than 0"),
        ({"data.range": (1, 1)}, "--data.range 1 1 is empty; give the lower number first"),
        (
            {"seed": 1.5},
            "seed: 1.5 is not allowed: must be a whole number",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(overrides, message):
    with pytest.raises(UserError) as caught:
        config_for("digits", overrides)
    assert str(caught.value) == message


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match=r"unknown recipe 'mnist-conf' \(perhaps you meant 'mnist-conv'\)"):
        config_for("mnist-conf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"loss: [", "line 1: not valid YAML"),
        (b"", "no settings in it"),
        (b"- 1", "no settings in it"),
        (b"\xff\xfe\x00", "not a text file"),
        (b"format: 99\nnew_thing: 1", "newer vaegan"),
        (b"format: x", "newer vaegan"),
        (b"loss:\n  gama: 1", "unknown setting 'loss.gama' (perhaps you meant 'loss.gamma')"),
        (b"loss:\n  gamma: -1", "loss.gamma: -1 is not allowed: must be greater than or equal to 0"),
        (b"seed: {{ seed }}", "not valid YAML (found unhashable key)"),
        (b"seed: 1\noptim: {lr: 1}\nseed: 2", "line 3: not valid YAML (seed is given twice)"),
        (b"loss: 3", "loss is a group of settings; name one of them, such as loss.gamma"),
        (b"3: 3", "unknown setting '3'"),
        (b"seed: !!python/object:os.system x", "not valid YAML"),
        (
            b"a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: {<<: [*b, *b]}",
            "line 2: not valid YAML (merge keys are not supported)",
        ),
        (b"loss: &a {gamma: *a}", "loss.gamma: {'gamma': {"),
        (b"seed: [" + b"[" * 5000, "not valid YAML"),
        (b"seed: 2001-99-99", "month must be in 1..12"),
        (b"seed: " + b"1" * 5000, "Exceeds the limit"),
        (b"#" * 300_000, "longer than 0.262 MB"),
    ],
)
def test_bad_settings_files(content, message, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_yaml(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)

    assert "\n" not in str(caught.value)


def test_settings_are_not_read_from_a_device_that_has_no_end():
    with pytest.raises(UserError, match="cannot read settings /dev/zero: not a regular file; give"):
        load_yaml(Path("/dev/zero"))


def test_a_missing_settings_file(tmp_path):
    with pytest.raises(UserError, match="No such file or directory; give a settings file"):
        load_yaml(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot read settings"):
        load_yaml(Path("a\0b"))


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.binary(),
    st.dictionaries(st.text(), st.integers(), max_size=2), st.just(10**400), st.just(object()),
)  # fmt: skip


def outcome(call, *args):
    """What ``call`` returns, or the line of its UserError; any other exception passes."""
    try:
        return call(*args)
    except UserError as error:
        return str(error)


@given(st.dictionaries(st.sampled_from([*NAMES, "data", "loss", "nonsense"]) | st.text(), values, max_size=4))
@example({"loss.gamma": 10**400})
@example({"seed": 10**400})
def test_any_overrides_give_settings_or_one_line(overrides):
    result = outcome(config_for, "digits", overrides)
    if isinstance(result, str):
        assert result
        assert "\n" not in result
    else:
        assert Config.model_validate(result.model_dump()) == result


@given(st.recursive(values, lambda inner: st.dictionaries(st.sampled_from(["loss", "gamma", "format", "data"]), inner)))
def test_any_yaml_gives_settings_or_one_line(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("yaml") / "c.yaml"
    try:
        path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    except (yaml.YAMLError, UnicodeEncodeError):
        assume(False)
    result = outcome(load_yaml, path)
    assert isinstance(result, Config) or (result and "\n" not in result)
