"""The view Image: a picture of one's own or of the data, its code, reconstruction and error, and the code's sliders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from studio_page.pages import as_bytes, as_model_sees, differ, saved, sent, shown, wait_for, wait_for_images

from vaegan.latent.attribute_vectors import apply
from vaegan.latent.code_paths import order_by_kl
from vaegan.report.vectors import load_vectors


def test_at_first_an_image_of_the_data_is_shown(open_page, registry):
    page = open_page("#view=image")
    first = registry["bars"].version().images("test").images[:1, :, :, 0]
    wait_for_images(page, "#figure-original img", first)
    assert page.get_by_role("heading", name="Held-out image 0").is_visible()
    page.get_by_role("tab", name="Compare").click()
    for name in ("bars", "other"):
        wait_for_images(page, f'#compared img[alt="Original, {name}"]', first)


def test_an_upload_shows_code_reconstruction_and_error(open_page, model, photo):
    page = open_page("#view=image")
    page.locator("#figure-edited img[src]").wait_for()
    sent_files = []
    page.on("request", lambda request: "reconstruct" in request.url and sent_files.append(request.url))
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    x = as_model_sees(photo)
    x_tilde = model.reconstruct(x)
    wait_for_images(page, "#figure-original img", photo[1])
    wait_for_images(page, "#figure-reconstruction img", x_tilde)
    wait_for_images(page, "#figure-edited img", x_tilde)
    assert differ(x, x_tilde)
    page.wait_for_load_state("networkidle")
    assert len(sent_files) == 1
    heat = ((x - x_tilde).abs()[0].mean(0) / 0.5).numpy()
    by_hand = np.stack([3 * heat, 3 * heat - 1, 3 * heat - 2], -1).clip(0, 1) * 255
    (errors,) = shown(page, "#figure-error img")
    assert np.abs(errors - by_hand).max() < 4
    page.get_by_text("Values", exact=True).click()
    numbers = [float(word) for word in page.locator("#code-numbers").inner_text().split()]
    assert np.allclose(numbers, model.encode(x)[0], rtol=6e-3, atol=1e-3)
    facts = [float(words) for words in page.locator("#image-facts dd").all_inner_texts()]
    assert facts[1:] == pytest.approx([float((x - x_tilde).square().mean()), float((x - x_tilde).abs().mean())], 0.01)
    largest = int(model.encode(x)[0].abs().argmax())
    assert f"in dimension {largest}" in page.locator("#code-chart").get_attribute("aria-label")
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, "#figure-original img", photo[1])


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(open_page, photo, way):
    page = open_page("#view=image")
    sent(page, way, "#drop", photo[0])
    wait_for_images(page, "#figure-original img", photo[1])


def test_a_bad_upload_is_told_and_the_next_good_one_works(open_page, photo):
    page = open_page("#view=image")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"cannot read"})
    page.get_by_role("alert").get_by_text("cannot read this file as an image").wait_for()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    wait_for_images(page, "#figure-original img", photo[1])
    assert not page.locator("#problem").is_visible()
    assert [words for words in open_page.complaints if "415" not in words] == []
    open_page.complaints.clear()  # the browser itself notes the answer 415


def test_examples_and_sliders(open_page, model, registry, studio_run):
    page = open_page("#view=image")
    first = page.locator("#examples img").first
    first.wait_for()
    of_all = "all => all.map(one => one.alt).join()"
    names = page.eval_on_selector_all("#examples img", of_all)
    page.get_by_role("button", name="More").click()
    wait_for(page, lambda: page.eval_on_selector_all("#examples img", of_all) not in ("", names))
    index = int(first.get_attribute("alt").split()[1].strip(":"))
    first.click()
    images = registry["bars"].version().images("test").images
    wait_for_images(page, "#figure-original img", images[index : index + 1, :, :, 0])
    x = torch.from_numpy(np.array(images[index : index + 1])).permute(0, 3, 1, 2).float() / 255
    z = model.encode(x)
    vectors = load_vectors(studio_run)
    edited = "#figure-edited img"
    wait_for_images(page, edited, model.decode(z))
    page.get_by_role("slider", name="height").fill("2.5")
    z_tall = apply(z, vectors["height"], 2.5)
    wait_for_images(page, edited, model.decode(z_tall))
    page.get_by_role("slider", name="right").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    both = apply(z_tall, vectors["right"], -0.1)
    wait_for(page, lambda: "height 2.5, right -0.1" in page.locator("#figure-edited").inner_text())
    wait_for_images(page, edited, model.decode(both))
    test = np.array(images)
    mu, logvar = model.posterior(torch.from_numpy(test).permute(0, 3, 1, 2).float() / 255)
    leading = int(order_by_kl(mu, logvar)[0][0])
    slider = page.locator("#dimensions input").first
    assert slider.get_attribute("aria-label").startswith(f"z{leading},")
    slider.fill("-3")
    moved = both.clone()
    moved[0, leading] = -3
    wait_for_images(page, edited, model.decode(moved))
    assert differ(model.decode(moved), model.decode(z))
    arrays = np.load(saved(page, "image", "npz"))
    assert np.allclose(arrays["codes"], torch.cat([z, moved]), atol=1e-3)
    assert Image.open(saved(page, "image", "GIF")).n_frames > 1
    picture = np.asarray(Image.open(saved(page, "image", "PNG")).convert("L"), int)
    for column, seen in enumerate((x, model.decode(z), None, model.decode(moved))):
        if seen is not None:
            left = 16 + 184 * column
            cells = picture[46 + 10 : 46 + 168 : 21, left + 10 : left + 168 : 21]
            assert np.abs(cells - as_bytes(seen)[0]).max() <= 2
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, edited, model.decode(moved))
    page.get_by_role("button", name="Reset all sliders").click()
    wait_for_images(page, edited, model.decode(z))
    page.get_by_role("button", name="Use as a corner").click()
    page.get_by_role("tab", name="Interpolate").click()
    wait_for_images(page, '#corners img[alt="Corner: Top left"]', model.decode(z))


@pytest.mark.parametrize("why", ["longest = 10", "model.shows_all_channels = false"])
def test_an_image_that_no_link_can_hold_is_shown_whole(open_page, model, photo, why):
    page = open_page("#view=image")
    page.evaluate(f"() => {{ {why}; }}")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    x = as_model_sees(photo)
    wait_for_images(page, "#figure-original img", photo[1])
    wait_for_images(page, "#figure-edited img", model.reconstruct(x))
    page.get_by_role("status").get_by_text("cannot hold this image").wait_for()
    page.get_by_role("tab", name="Compare").click()
    wait_for_images(page, '#compared img[alt="Original, other"]', photo[1])
    again = open_page("#view=image&" + page.url.split("#")[1])
    wait_for_images(again, "#figure-reconstruction img", model.reconstruct(x))
    assert not again.locator("#figure-original").is_visible()


def test_a_long_code_is_drawn_in_a_few_hundred_bars(open_page):
    page = open_page("#view=image")
    wait_for(page, lambda: page.evaluate("image?.edited != null"))
    words = page.evaluate("""() => {
      const code = new Array(262144).fill(0.1);
      image = { ...image, code, edited: code.with(200000, -9) };
      drawCode();
      return $("code-chart").getAttribute("aria-label");
    }""")
    assert words == "Code of 262144 numbers, the largest -9 in dimension 200000"
    bars = page.locator("#code-chart rect")
    assert 100 < bars.count() <= 320
    edited = page.locator("#code-chart rect[fill='var(--c1)']")
    heights = bars.evaluate_all("all => all.map(bar => Number(bar.getAttribute('height')))")
    assert (edited.count(), float(edited.get_attribute("height"))) == (1, max(heights))


def test_a_slider_is_moved_while_another_image_comes(open_page):
    page = open_page("#view=image")
    wait_for(page, lambda: page.locator("#dimensions input").count() > 0)
    waiting = []
    page.route("**/examples/*", lambda route: waiting.append(route))
    page.locator("#examples button").nth(1).click()
    wait_for(page, lambda: waiting)
    page.locator("#dimensions input").first.fill("1")
    page.evaluate("edit()")
    waiting[0].continue_()
    wait_for(page, lambda: page.evaluate("image?.edited != null"))
    assert page.locator("#problem").is_hidden()
