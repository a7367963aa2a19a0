"""The view Interpolate: images between two, three or four corners."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from studio_page.pages import as_model_sees, choose, saved, sent, wait_for, wait_for_images

from vaegan.latent.code_paths import mix


def test_interpolation_of_two_three_and_four(open_page, model):
    page = open_page("#view=interpolate")
    z = model.sample_codes(4, seed=0)
    blend = "#figure-blend img"
    wait_for_images(page, "#corners img", model.decode(z))
    wait_for_images(page, blend, model.decode(mix(z, torch.tensor([[0.5, 0.5]]))))
    steps = torch.linspace(0, 1, 7)
    square = torch.stack([steps.repeat(7), steps.repeat_interleave(7)], 1)
    wait_for_images(page, "#pad-images img", model.decode(mix(z, square)))
    pad = page.get_by_role("application", name="Pad between the corners")
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.8 * box["height"])
    page.mouse.up()
    page.get_by_text("25 % to the right, 80 % down").wait_for()
    wait_for_images(page, blend, model.decode(mix(z, torch.tensor([[0.25, 0.8]]))))
    pad.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.get_by_text("30 % to the right, 75 % down").wait_for()
    choose(page, "how", "spherical")
    wait_for_images(page, blend, model.decode(mix(z, torch.tensor([[0.3, 0.75]]), "spherical")))
    page.get_by_role("slider", name="Right").fill("1")
    page.get_by_role("slider", name="Down").fill("0")
    wait_for_images(page, blend, model.decode(z[1:2]))
    choose(page, "count", "3")
    page.get_by_role("slider", name="Down").fill("1")
    wait_for_images(page, blend, model.decode(z[2:3]))
    choose(page, "count", "2")
    page.get_by_role("slider", name="Right").fill("0.5")
    wait_for_images(page, blend, model.decode(mix(z[:2], torch.tensor([[0.5, 0.0]]), "spherical")))
    assert not page.get_by_role("slider", name="Down").is_visible()
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, blend, model.decode(mix(z[:2], torch.tensor([[0.5, 0.0]]), "spherical")))


def test_corners_are_changed_opened_and_saved(open_page, model):
    page = open_page("#view=interpolate&count=2&x=0")
    z = model.sample_codes(4, seed=0)
    wait_for_images(page, "#figure-blend img", model.decode(z[:1]))
    before = page.url
    page.get_by_role("button", name="Sample: Left").click()
    wait_for(page, lambda: page.url != before)
    before = page.url
    page.get_by_role("button", name="Example: Right").click()
    wait_for(page, lambda: page.url != before)
    codes = page.evaluate("() => corners.slice(0, 2)")
    wait_for_images(page, "#corners img", model.decode(torch.tensor(codes)))
    arrays = np.load(saved(page, "interpolate", "npz"))
    assert np.allclose(arrays["codes"][[0, -1]], codes, atol=1e-5)
    assert Image.open(saved(page, "interpolate", "GIF")).n_frames > 8
    assert Image.open(saved(page, "interpolate", "PNG")).size[0] > 8 * 16
    wait_for_images(page, "#figure-blend img", model.decode(torch.tensor(codes[:1])))
    page.get_by_role("button", name="Open in Image").first.click()
    wait_for_images(page, "#figure-reconstruction img", model.decode(torch.tensor(codes[:1])))
    page.get_by_role("tab", name="Interpolate").click()
    page.get_by_role("button", name="From Image: Right").click()
    wait_for_images(page, "#corners img", model.decode(torch.tensor([codes[0], codes[0]])))


def test_a_click_is_not_lost_while_corners_are_renewed(open_page, model):
    page = open_page("#view=interpolate&count=2")
    wait_for_images(page, "#corners img", model.decode(model.sample_codes(4, seed=0)[:2]))
    before = page.url
    page.get_by_role("button", name="Sample: Right").hover()
    page.mouse.down()
    with page.expect_request_finished(lambda request: '"steps":2,' in (request.post_data or "")):
        page.evaluate("() => void showInterpolate()")
    page.evaluate("() => fetchJson(here())")  # when this is answered, the page has worked on the answer before it
    page.mouse.up()
    wait_for(page, lambda: page.url != before)


def test_corners_are_images_of_ones_own(open_page, model, photo):
    page = open_page("#view=interpolate&count=2")
    corner = "#corners .corner:nth-child({}) img"
    page.locator(corner.format(2)).wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="File: Left").click()
    chooser.value.set_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    x_tilde = model.reconstruct(as_model_sees(photo))
    wait_for_images(page, corner.format(1), x_tilde)
    assert page.evaluate("() => document.activeElement.getAttribute('aria-label')") == "File: Left"
    sent(page, "drop", corner.format(2), photo[0])
    wait_for_images(page, corner.format(2), x_tilde)
    sent(page, "drop", "#pad", photo[0])  # nowhere in particular: it is looked at
    wait_for_images(page, "#figure-original img", photo[1])


@pytest.mark.parametrize("first", [0, 1])
def test_a_corner_set_while_others_are_drawn_stays(open_page, model, first):
    """Both the button and the view wait for samples; whichever answer comes first, the corner is the image."""
    page = open_page("#view=image")
    wait_for(page, lambda: page.locator("#dimensions input").count() > 0)
    waiting = []
    page.route("**/samples?*", lambda route: waiting.append(route))
    page.get_by_role("button", name="Use as a corner").click()
    page.get_by_role("tab", name="Interpolate").click()
    wait_for(page, lambda: len(waiting) == 2)
    code = torch.tensor(page.evaluate("image.edited"))
    for route in (waiting[first], waiting[1 - first]):
        route.continue_()
        route.request.response().finished()
    wait_for(page, lambda: page.locator("#corners img").count() == 4)
    wait_for_images(page, '#corners img[alt="Corner: Top left"]', model.decode(code[None]))
