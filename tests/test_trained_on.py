"""What images runs were trained on, by their files alone."""

from __future__ import annotations

import json

import pytest

from vaegan.recipes import config_for
from vaegan.runs import trained_on
from vaegan.runs.locate import Place
from vaegan.runs.trained_on import data_of_model, data_of_run, shared_data
from vaegan.settings_io import dump_yaml


@pytest.fixture
def run(tmp_path):
    """Make the files of a run and return its path."""

    def run(name, source, fingerprint, **settings):
        data = {f"data.{key}": value for key, value in settings.items()}
        dump_yaml(config_for("map-32", {"data.source": source, **data}), tmp_path / name / "config.yaml")
        facts = {"fingerprint": fingerprint, "paths": {source: str(tmp_path / source)}}
        (tmp_path / name / "data.json").write_text(json.dumps(facts))
        return str(tmp_path / name)

    return run


def test_runs_of_several_sizes_share_their_images_and_no_size(run, tmp_path):
    small, large = run("a", "photos", "x", size=32), run("b", "photos", "y", size=64)
    settings, why = shared_data([small, large])
    assert (settings.source, settings.size, why) == (str(tmp_path / "photos"), None, "")
    assert shared_data([small, run("c", "photos", "x", size=32)])[0].size == 32


def test_why_runs_share_no_images(run):
    one = run("a", "photos", "x", size=32)
    for other in (
        run("b", "others", "y", size=64),
        run("c", "photos", "y", size=32),
        run("d", "photos", "y", size=64, held_out=0.3),
    ):
        settings, why = shared_data([one, other])
        assert (settings.source, why) == ("", f"{one} and {other} were trained on different images of one source")


def test_a_model_on_the_hub_keeps_how_its_images_were_cropped(run, monkeypatch, tmp_path):
    shared = tmp_path / run("a", "digits", "x", crop_size=6)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trained_on, "locate", {"me/faces": Place(shared, shared)}.get)
    assert data_of_model("me/faces").crop_size == 6
    assert data_of_run("me/faces").source == "", "nothing is downloaded for the help"
