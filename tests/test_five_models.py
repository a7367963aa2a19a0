"""The script that trains the five kinds with the same networks: its commands, without running them."""

from __future__ import annotations

import pytest

from vaegan.cli import compare, train
from vaegan.cli.parse import parse
from vaegan.recipes import config_for


@pytest.fixture
def script(study_script):
    return study_script("five_models")


def test_every_command_parses_and_is_timed(script, tmp_path):
    commands = script.trainings([0, 1, 2], tmp_path, ["--data.root", "somewhere"])
    assert len(commands) == 15
    for (name, *words), minutes in commands:
        assert name == "train"
        config = parse(train.Options, words, name).settings
        assert words[-1] == str(tmp_path / f"{config.model.kind}-{config.seed}")
        assert 0 < minutes < 60
    name, *words = script.side_by_side.comparison(script.KINDS, [0, 1, 2], tmp_path, 500)
    options = parse(compare.Options, words, name)
    assert set(options.runs) == {words[-1] for words, _ in commands}
    assert options.num == 500


def test_all_have_the_networks_of_the_recipe(script, tmp_path):
    recipe = config_for(script.RECIPE)
    for kind in script.KINDS:
        settings = script.settings_of(kind, 1, tmp_path)
        config = config_for(script.RECIPE, {name.replace("-", "_"): value for name, value in settings.items()})
        same = {"kind": kind, "output": config.model.output}
        assert config.model == recipe.model.model_copy(update=same)
        assert (config.optim, config.train) == (recipe.optim, recipe.train)
        assert (config.loss.metric == tmp_path / "gan-1") == (kind == "vae-dis-l")
