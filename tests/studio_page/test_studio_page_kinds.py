"""Conditional models of a label or attributes, a GAN, an autoencoder, a VAE of larger images: what each can do."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from studio_page.pages import as_bytes, differ, saved, sent, wait_for, wait_for_images

import vaegan
from vaegan.data.conditions import Conditioning
from vaegan.recipes import config_for
from vaegan.settings import DataSettings
from vaegan.training.factories import build_model

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")

from vaegan.studio.registry import Registry


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Models with weights that make a difference: two conditional ones, a GAN, an autoencoder."""
    folder = tmp_path_factory.mktemp("kinds")
    by_label = Conditioning("labels", tuple("0123456789"))
    measured = Conditioning("attributes", ("tall", "old"), (0.5, 2), (0.5, 1.5), (0.5, 2), ((0.0, 1.0), (1.0, 4.0)))
    made = {"by-label": by_label, "by-attributes": measured, "gan": None, "ae": None, "vae": None}
    for name, condition in made.items():
        own = {"model.condition": condition.kind} if condition else {"model.kind": name}
        shape = (3, 16, 16) if name == "vae" else (1, 8, 8)
        info = {"condition": condition.as_json()} if condition else {}
        torch.manual_seed(3)
        one = build_model(config_for("digits", {**own, "model.latent_dim": 4}), shape, info)
        for weight in one.parameters():
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight)
        one.eval().save(folder / name)
    return folder


@pytest.fixture(scope="module")
def at_kinds(serve, kinds):
    names = ["by-label", "by-attributes", "gan", "ae", "vae"]
    data = [DataSettings(source="" if name in ("by-attributes", "vae") else "digits") for name in names]
    return serve(Registry([str(kinds / name) for name in names], data))


def test_condition_by_label(open_page, at_kinds, kinds):
    page = open_page("#num=16&model=by-label", at=at_kinds)
    model = vaegan.load(kinds / "by-label")
    z = model.sample_codes(16, seed=0)
    label = model.conditioning.of_labels
    wait_for_images(page, "#samples-grid img", model.decode(z, condition=model.condition_in_turn(16)))
    assert page.locator("#label").is_hidden()  # the condition is the label
    condition = page.get_by_role("group", name="Condition").get_by_label("Label")
    condition.select_option("3")
    threes = model.decode(z, condition=label(["3"] * 16))
    assert differ(threes, model.decode(z, condition=label(["7"] * 16)))
    wait_for_images(page, "#samples-grid img", threes)
    again = open_page("#" + page.url.split("#")[1], at=at_kinds)
    wait_for_images(again, "#samples-grid img", threes)
    page.locator("#samples-grid button").nth(2).click()
    wait_for_images(page, "#figure-edited img", threes[2:3])
    condition.select_option("7")
    wait_for_images(page, "#figure-edited img", model.decode(z[2:3], condition=label(["7"])))
    page.get_by_role("tab", name="Interpolate").click()
    page.wait_for_function("() => corners.length === 4")
    corners = torch.tensor(page.evaluate("() => readCorners().then(() => corners)"))
    wait_for_images(page, "#corners img", model.decode(corners, condition=label(["7"] * 4)))
    assert page.locator("#corners-note").inner_text() == "All images have the label 7."
    condition.select_option("")
    one = model.condition_in_turn(1).expand(4, -1)  # of the corners as of what lies between them
    wait_for_images(page, "#corners img", model.decode(corners, condition=one))
    assert page.locator("#corners-note").inner_text() == "All images have the label 0."
    page.get_by_role("slider", name="Right").fill("1")
    page.get_by_role("slider", name="Down").fill("0")
    wait_for_images(page, "#figure-blend img", model.decode(corners[1:2], condition=one[:1]))


@pytest.mark.parametrize("name", ["by-label", "by-attributes"])
def test_a_sample_keeps_its_condition(open_page, at_kinds, kinds, name):
    page = open_page(f"#num=16&model={name}", at=at_kinds)
    model = vaegan.load(kinds / name)
    z, c = model.sample_codes(16, seed=0), model.condition_in_turn(16)
    wait_for_images(page, "#samples-grid img", model.decode(z, condition=c))
    page.locator("#samples-grid button").nth(3).click()
    sample = model.decode(z[3:4], condition=c[3:4])
    assert differ(sample, model.decode(z[3:4], condition=c[:1]))
    wait_for_images(page, "#figure-edited img", sample)
    wait_for_images(page, "#figure-reconstruction img", sample)
    again = open_page("#" + page.url.split("#")[1], at=at_kinds)
    wait_for_images(again, "#figure-edited img", sample)
    page.locator("#dimensions input").first.fill("2.5")
    wait_for(page, lambda: "2.5" in page.locator("#figure-edited").inner_text())
    arrays = np.load(saved(page, "image", "npz"))
    both = model.decode(torch.from_numpy(arrays["codes"]), condition=c[3:4].expand(2, -1))
    assert np.abs(arrays["images"][..., 0].astype(int) - as_bytes(both)).max() <= 1


def test_an_image_of_the_data_has_its_own_condition(open_page, at_kinds, kinds):
    page = open_page("#view=image&source=test:4&model=by-label", at=at_kinds)
    model = vaegan.load(kinds / "by-label")
    example = page.request.get(at_kinds + "api/models/by-label/examples/4").json()
    z, label = torch.tensor([example["code"]]), model.conditioning.of_labels
    wait_for_images(page, "#figure-edited img", model.decode(z, condition=label([example["label"]])))
    other = "0" if example["label"] != "0" else "1"
    page.locator("#condition select").select_option(other)
    wait_for_images(page, "#figure-edited img", model.decode(z, condition=label([other])))


def test_condition_by_attributes(open_page, at_kinds, kinds):
    page = open_page("#num=16&model=by-attributes", at=at_kinds)
    model = vaegan.load(kinds / "by-attributes")
    z = model.sample_codes(16, seed=0)
    as_data = model.decode(z, condition=model.condition_in_turn(16))
    wait_for_images(page, "#samples-grid img", as_data)
    tall = page.locator("#condition").get_by_label("tall")
    tall.fill("3")
    tall.press("Enter")
    taller = model.decode(z, condition=model.conditioning.of_attributes({"tall": 3.0}, 16))
    assert differ(taller, as_data)
    wait_for_images(page, "#samples-grid img", taller)
    page.locator("#samples-grid button").nth(1).click()
    wait_for_images(page, "#figure-edited img", taller[1:2])
    page.get_by_role("tab", name="Samples").click()
    tall.fill("")
    tall.press("Enter")
    wait_for_images(page, "#samples-grid img", as_data)


def test_a_gan_makes_images_and_takes_none(open_page, at_kinds, kinds, photo):
    page = open_page("#num=16&model=gan", at=at_kinds)
    model = vaegan.load(kinds / "gan")
    z = model.sample_codes(16, seed=0)
    wait_for_images(page, "#samples-grid img", model.decode(z))
    page.locator("#samples-grid button").nth(1).click()
    wait_for_images(page, "#figure-edited img", model.decode(z[1:2]))
    assert page.locator("#file").is_disabled()
    assert not page.locator("#examples-part").is_visible()
    slider = page.locator("#dimensions input").first
    assert slider.get_attribute("aria-label") == "z0"
    slider.fill("2.5")
    moved = z[1:2].clone()
    moved[0, 0] = 2.5
    wait_for_images(page, "#figure-edited img", model.decode(moved))
    sent(page, "drop", "body", photo[0])
    page.get_by_role("alert").get_by_text("gan has no encoder").wait_for()
    page.get_by_role("tab", name="Interpolate").click()
    wait_for_images(page, "#corners img", model.sample(4, seed=0))
    assert page.locator("#corners button").all_inner_texts() == ["Sample", "From Image"] * 4


def test_no_view_of_a_gan_is_empty_or_red(open_page, at_kinds, kinds):
    page = open_page("#view=image&model=gan&source=test:3", at=at_kinds)
    first = vaegan.load(kinds / "gan").sample(36, seed=0)[:1]
    wait_for_images(page, "#figure-edited img", first)
    assert page.get_by_text("A GAN has no encoder: it cannot encode your images.").is_visible()
    assert not page.locator("#drop").is_visible()
    page.get_by_role("tab", name="Map").click()
    page.locator("#lack").get_by_text("A GAN has no encoder").wait_for()
    assert page.locator("#lack button").all_inner_texts() == ["Samples", "Image", "Interpolate"]
    assert not page.locator("#map-canvas").is_visible()
    page.get_by_role("tab", name="Training").click()
    page.locator("#lack").get_by_text("gan is a saved model").wait_for()
    assert page.locator("[data-save=training] button:disabled").count() == 3
    page.locator("#lack").get_by_role("button", name="Image").click()
    wait_for_images(page, "#figure-edited img", first)
    assert page.locator("#problem").is_hidden()


def test_what_is_resized_is_said(open_page, at_kinds):
    page = open_page("#view=compare&model=gan", at=at_kinds)
    page.get_by_text("the same image: Held-out image 0, label 0, from gan.").wait_for()
    page.locator("#compared .figures img").nth(11).wait_for()
    resized = "cards => cards.map(card => card.querySelector('.resized')?.textContent ?? '')"
    assert page.eval_on_selector_all("#compared article", resized) == [
        "", "", "", "", "Resized from 8 × 8 grey to 16 × 16 colour."
    ]  # fmt: skip
    assert "has no encoder" in page.locator("#compared article[aria-label=gan]").inner_text()
    assert "has no prior to draw samples from" in page.locator("#compared article[aria-label=ae]").inner_text()
    assert page.locator("#compared button:disabled").count() == 1  # the samples of the autoencoder


def test_an_autoencoder_has_no_samples_but_corners_and_long_sliders(open_page, at_kinds, kinds):
    page = open_page("#model=ae", at=at_kinds)
    model = vaegan.load(kinds / "ae")
    page.get_by_text("An autoencoder has no prior to draw samples from.").wait_for()
    assert page.locator("#lack button").all_inner_texts() == ["Image", "Interpolate", "Map"]
    assert page.locator("#problem").is_hidden()
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#corners img").nth(3).wait_for()
    codes = torch.tensor(page.evaluate("() => corners"))
    wait_for_images(page, "#corners img", model.decode(codes))
    page.get_by_role("button", name="Open in Image").first.click()
    page.locator("#dimensions input").nth(3).wait_for()
    rows = page.request.get(at_kinds + "api/models/ae/dimensions").json()["dimensions"]
    code = json.loads(page.locator("#figure-blend").get_attribute("data-code"))
    for row, slider in zip(rows, page.locator("#dimensions input").all(), strict=True):
        furthest = max(4 * row["deviation"], abs(code[row["dimension"]]))
        assert furthest <= float(slider.get_attribute("max")) < 2 * furthest
        assert float(slider.get_attribute("min")) == -float(slider.get_attribute("max"))
