"""The view Training, and runs that go on while they are looked at."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from studio_page.pages import choose, differ, saved, wait_for, wait_for_images

import vaegan
from vaegan.settings_io import dump_yaml, load_yaml, with_settings

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")

from vaegan.studio.registry import Registry


def test_training_curves_and_snapshots(open_page, studio_run):
    page = open_page("#view=training")
    page.get_by_role("heading", name="Training finished").wait_for()
    records = [json.loads(line) for line in (studio_run / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in records if record["split"] == "train"]
    facts = page.locator("#training-facts").inner_text()
    assert f"{train[-1]['images']:,}" in facts
    encoder = page.locator('#charts figure[data-title="encoder"]')
    names = list(train[-1]["losses"]["encoder"])
    training = encoder.locator("li:not(.held-out) output")

    def reads(record) -> bool:
        return training.all_inner_texts() == [f"{record['losses']['encoder'][name]:.4g}" for name in names]

    wait_for(page, lambda: reads(train[-1]))
    page.get_by_role("slider", name="Values at").fill("0")
    wait_for(page, lambda: reads(train[0]))
    drawing = encoder.locator("svg").bounding_box()
    page.mouse.move(drawing["x"] + 0.97 * drawing["width"], drawing["y"] + 50)
    wait_for(page, lambda: reads(train[-1]))
    assert encoder.locator("path.dashed").count() == encoder.locator("li.held-out").count() == len(names)
    assert page.locator("#health li").count() == len(records[-1]["health"])
    files = {kind: sorted((studio_run / kind).glob("*.png")) for kind in ("samples", "reconstructions")}

    def snapshot() -> bytes:
        address = page.locator("#snapshot img").get_attribute("src")
        return page.request.get(page.url.split("#")[0] + address).body()

    page.locator("#snapshot img").wait_for()
    assert snapshot() == files["samples"][-1].read_bytes()
    page.get_by_role("slider", name="After").fill("0")
    assert snapshot() == files["samples"][0].read_bytes()
    choose(page, "kind", "reconstructions")
    wait_for(page, lambda: page.locator("#snapshot img").get_attribute("alt").startswith("Reconstructions"))
    assert snapshot() == files["reconstructions"][-1].read_bytes()
    page.get_by_role("slider", name="After").fill("0")
    page.get_by_role("button", name="Play").click()
    wait_for(page, lambda: snapshot() == files["reconstructions"][-1].read_bytes())
    page.get_by_role("button", name="Play").wait_for()
    assert saved(page, "training", "PNG").getvalue() == files["reconstructions"][-1].read_bytes()
    assert Image.open(saved(page, "training", "GIF")).n_frames == len(files["reconstructions"])
    curves = np.load(saved(page, "training", "npz"))
    assert {name.split("/")[0] for name in curves} == {"train", "test"}
    kl = [[record["images"], record["losses"]["encoder"]["kl"]] for record in train]
    assert np.allclose(curves["train/encoder/kl"], kl, rtol=1e-4)


def test_a_run_that_goes_on_is_followed(open_page, serve, studio_run, tmp_path):
    run = tmp_path / "growing"
    later = ("model", "status.json", "losses.png", "samples", "reconstructions", "triptychs")
    shutil.copytree(studio_run, run, ignore=shutil.ignore_patterns(*later))
    lines = (studio_run / "metrics.jsonl").read_text().splitlines(keepends=True)
    goal = json.loads(lines[-1])["images"]
    changes = {"train.images": goal, "train.epochs": 9.0}
    dump_yaml(with_settings(load_yaml(run / "config.yaml"), changes), run / "config.yaml")
    (run / "metrics.jsonl").write_text("")
    page = open_page("#view=training", at=serve(Registry([str(run)])))
    page.get_by_role("heading", name="Training", exact=True).wait_for()
    assert page.get_by_text("No records yet.").is_visible()
    assert page.get_by_text("No snapshots yet.").is_visible()
    assert "has no saved model yet" in page.locator("#about").inner_text()
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(lines[:1])
    shutil.copytree(studio_run / "samples", run / "samples")
    images = json.loads(lines[0])["images"]
    wait_for(page, lambda: f"{images:,}" in page.locator("#training-facts").inner_text())
    page.locator("#snapshot img").wait_for()
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(lines[1:])
    shutil.copy(studio_run / "losses.png", run)
    page.get_by_role("heading", name="Training finished").wait_for()
    facts = page.locator("#training-facts dd").all_inner_texts()
    assert facts[0] == f"{goal:,} of {goal:,}"
    assert "of" not in facts[1]  # the images ended it, not its epochs


def test_a_run_without_samples_shows_its_reconstructions(open_page, serve, studio_run, tmp_path):
    run = tmp_path / "ae"
    shutil.copytree(studio_run, run, ignore=shutil.ignore_patterns("samples"))
    page = open_page("#view=training", at=serve(Registry([str(run)])))
    page.locator("#snapshot img").wait_for()
    assert page.locator("#snapshot img").get_attribute("alt").startswith("Reconstructions")
    assert page.locator("#kind").input_value() == "reconstructions"
    assert page.locator("#kind option:disabled").all_inner_texts() == ["samples"]


def test_a_new_state_of_the_model_is_noticed(open_page, serve, studio_run, tmp_path, model):
    """First there is none; then one; then another."""
    run = tmp_path / "growing"
    shutil.copytree(studio_run, run, ignore=shutil.ignore_patterns("model", "status.json", "losses.png"))
    page = open_page("#num=16", at=serve(Registry([str(run)])))
    page.locator("#lack").get_by_text("growing has no saved model yet").wait_for()
    shutil.copytree(studio_run / "model", tmp_path / "beside")
    (tmp_path / "beside").rename(run / "model")
    wait_for_images(page, "#samples-grid img", model.sample(16))
    assert not page.locator("#problem").is_visible()
    page.locator("#samples-grid button").first.click()
    z = model.sample_codes(16)[:1]
    wait_for_images(page, "#figure-edited img", model.decode(z))
    page.get_by_role("slider", name="height").wait_for()
    changed = vaegan.load(run)
    with torch.no_grad():
        for weight in changed.decoder.parameters():
            weight.mul_(1.3)
    assert differ(changed.decode(z), model.decode(z))
    changed.save(run / "model")
    page.get_by_role("tab", name="Interpolate").click()
    page.get_by_role("tab", name="Image").click()
    wait_for_images(page, "#figure-edited img", changed.decode(z))
    page.get_by_text("This model has no attribute vectors").wait_for()  # vectors of the weights before mean nothing


def test_a_film_is_stopped(open_page, serve, studio_run, tmp_path):
    run = tmp_path / "long"
    shutil.copytree(studio_run, run)
    picture = next((run / "samples").glob("*.png"))
    for images in range(10_000, 10_400):
        (run / "samples" / f"{images:012}.png").symlink_to(picture)
    page = open_page("#view=training", at=serve(Registry([str(run)])))
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Play").wait_for()
    assert int(page.get_by_role("slider", name="After").input_value()) < 401


def test_a_film_started_again_runs_once(open_page):
    page = open_page("#view=training")
    wait_for(page, lambda: page.evaluate("snapshotImages().length > 1"))
    page.evaluate(
        """() => {
          trained.snapshots.samples = Array(99).fill(trained.snapshots.samples[0]);
          window.shown = [];
          window.showSnapshot = () => shown.push(Number(get("moment")));
          for (let click = 0; click < 3; click += 1) $("play").click();
        }"""
    )
    wait_for(page, lambda: page.evaluate("shown.length >= 5"))
    assert page.evaluate("shown.slice(0, 5)") == [0, 0, 1, 2, 3]
    page.get_by_role("button", name="Stop").click()
