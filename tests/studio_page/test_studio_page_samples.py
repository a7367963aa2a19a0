"""The view Samples: of each prior, label and seed, saved, and opened one by one."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from studio_page.pages import as_bytes, choose, differ, saved, wait_for_images

from vaegan.pixels import to_uint8
from vaegan.report.grid import grid


def test_samples_by_prior_label_seed_and_number(open_page, model):
    page = open_page()
    grid = "#samples-grid img"
    wait_for_images(page, grid, model.sample(36, seed=0))
    choose(page, "num", "16")
    wait_for_images(page, grid, model.sample(16, seed=0))
    assert differ(model.sample(16, seed=0, prior="normal"), model.sample(16, seed=0))
    choose(page, "prior", "normal")
    wait_for_images(page, grid, model.sample(16, seed=0, prior="normal"))
    seed = page.locator("#samples").get_by_label("Seed")
    seed.fill("7")
    seed.press("Enter")
    wait_for_images(page, grid, model.sample(16, seed=7, prior="normal"))
    page.get_by_role("button", name="Resample").click()
    wait_for_images(page, grid, model.sample(16, seed=8, prior="normal"))
    assert seed.input_value() == "8"
    assert page.locator(grid).first.get_attribute("alt") == "Sample 1 of seed 8"


def test_samples_of_a_label_of_the_data(open_page, address, model, monkeypatch):
    monkeypatch.setattr("vaegan.priors.fit._ENOUGH", 5)
    page = open_page("#num=16")
    wait_for_images(page, "#samples-grid img", model.sample(16, seed=0))
    page.locator("#label").select_option("right")
    page.get_by_text("Prior: Gaussian of the label right; seed 0.").wait_for()
    codes = page.request.get(f"{address}api/models/bars/samples?num=16&label=right").json()["codes"]
    wait_for_images(page, "#samples-grid img", model.decode(torch.tensor(codes)))


def test_samples_are_saved(open_page, model):
    page = open_page("#num=16&seed=3")
    arrays = np.load(saved(page, "samples", "npz"))
    assert np.allclose(arrays["codes"], model.sample_codes(16, seed=3), atol=1e-6)
    assert np.abs(arrays["images"][..., 0].astype(int) - as_bytes(model.sample(16, seed=3))).max() <= 1
    picture = np.asarray(Image.open(saved(page, "samples", "PNG")), int)
    by_hand = grid(to_uint8(model.sample(16, seed=3)))[..., 0].astype(int)
    assert picture.shape == by_hand.shape
    assert np.abs(picture - by_hand).max() <= 1
    assert Image.open(saved(page, "samples", "GIF")).n_frames == 16


def test_a_sample_is_opened_and_comes_back_by_its_link(open_page, model):
    page = open_page("#num=16&seed=3")
    page.locator("#samples-grid button").nth(5).click()
    z = model.sample_codes(16, seed=3)[5:6]
    wait_for_images(page, "#figure-reconstruction img", model.decode(z))
    assert page.get_by_role("tab", name="Image").get_attribute("aria-selected") == "true"
    assert not page.locator("#figure-original").is_visible()
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, "#figure-edited img", model.decode(z))
