"""The view Compare, and the choice of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from studio_page.pages import as_bytes, differ, saved, shown, wait_for, wait_for_images

import vaegan


def test_models_are_compared(open_page, model, other, registry):
    page = open_page("#view=compare&source=train:3")
    second = vaegan.load(other)
    assert differ(model.sample(10), second.sample(10))
    for name, one in (("bars", model), ("other", second)):
        wait_for_images(page, f'#compared article[aria-label="{name}"] .tiles img', one.sample(10, seed=0))
        image = registry["bars"].version().images("train").images[3:4]
        x = torch.from_numpy(np.array(image)).permute(0, 3, 1, 2).float() / 255
        wait_for_images(page, f'#compared img[alt="Original, {name}"]', image[..., 0])
        wait_for_images(page, f'#compared img[alt="Reconstruction, {name}"]', one.reconstruct(x))
        assert shown(page, f'#compared img[alt="Absolute error, {name}"]')[0].shape == (8, 8, 3)
        error = float((x - one.reconstruct(x)).square().mean())
        facts = page.locator(f'#compared article[aria-label="{name}"] dd').all_inner_texts()
        assert float(facts[0]) == pytest.approx(error, 0.01)
    seed = page.locator("#compare").get_by_label("Seed")
    seed.fill("9")
    seed.press("Enter")
    wait_for_images(page, '#compared article[aria-label="other"] .tiles img', second.sample(10, seed=9))
    picture = np.asarray(Image.open(saved(page, "compare", "PNG")).convert("L"), int)
    cells = picture[46 + 10 : 46 + 168 : 21, 16 + 184 + 10 : 16 + 184 + 168 : 21]
    assert np.abs(cells - as_bytes(model.reconstruct(x))[0]).max() <= 2
    with page.expect_download() as download:
        page.locator('#compared article[aria-label="other"]').get_by_role("button", name="Save npz").click()
    arrays = np.load(download.value.path())
    assert np.allclose(arrays["codes"], second.sample_codes(10, seed=9), atol=1e-4)
    before = page.url
    page.get_by_role("button", name="Another image").click()
    wait_for(page, lambda: page.url != before)
    index = int(page.url.split("source=test%3A")[1].split("&")[0])
    images = registry["bars"].version().images("test").images
    wait_for_images(page, '#compared img[alt="Original, other"]', images[index : index + 1, :, :, 0])
    box = page.get_by_role("checkbox", name="bars")
    box.focus()
    page.keyboard.press("Space")
    wait_for(page, lambda: page.locator("#compared article").count() == 1)
    assert page.locator("#compared article").get_attribute("aria-label") == "other"
    assert page.evaluate("() => document.activeElement.closest('label').textContent") == "bars"


@pytest.mark.parametrize(
    ("kind", "names", "told", "expected"),
    [
        ("labels", ["a", "b"], {"label": "b", "attributes": {"a": 1}}, {"label": "b"}),
        ("labels", ["a"], {"label": "b"}, None),
        ("attributes", ["a", "c"], {"attributes": {"a": 0.5, "b": 1}}, {"attributes": {"a": 0.5}}),
        ("attributes", ["c"], {"label": None}, None),
        (None, [], {"label": "a"}, None),
    ],
)
def test_others_take_the_condition_of_the_image(open_page, kind, names, told, expected):
    page = open_page("#view=compare&source=test:0")
    wait_for(page, lambda: page.locator("#compared figure").count() == 6)
    one = {"condition": kind and {"kind": kind, "names": names}}
    assert page.evaluate("([one, told]) => conditionFor(one, told)", [one, told]) == expected


def test_a_picture_of_the_page_is_read_as_one(open_page, photo):
    page = open_page("#view=compare&source=test:0")
    page.add_init_script("""window.sent = []; const real = fetch;
        window.fetch = (path, options) => {
          if (options?.body instanceof FormData) sent.push(options.body.get("shown"));
          return real(path, options);
        };""")
    page.reload()
    wait_for(page, lambda: page.evaluate("sent.length"))
    page.get_by_role("tab", name="Image").click()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    wait_for(page, lambda: page.evaluate("sent.length") == 2)
    assert page.evaluate("sent") == ["true", None]
    wait_for(page, lambda: "source=png" in page.url)
    page.reload()  # from its link
    wait_for(page, lambda: page.evaluate("sent.length"))
    assert page.evaluate("sent")[0] == "true"


def test_another_model_is_chosen(open_page, other):
    page = open_page("#num=16")
    second = vaegan.load(other)
    page.get_by_label("Model").select_option("other")
    wait_for_images(page, "#samples-grid img", second.sample(16, seed=0))
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, "#samples-grid img", second.sample(16, seed=0))
    assert again.get_by_label("Model").input_value() == "other"


@pytest.mark.parametrize(
    ("view", "path", "answer"),
    [
        ("interpolate", "samples?*", {"json": {"codes": [[9.0] * 4] * 4, "images": [], "prior": "normal"}}),
        ("map", "map?*", {"status": 409, "json": {"error": "its data is not here"}}),
        ("image", "dimensions?*", {"json": {"dimensions": [{"dimension": 0, "kl": 9.0, "deviation": 9.0}]}}),
    ],
)
def test_an_answer_about_a_model_that_was_left_changes_nothing(open_page, other, view, path, answer):
    page = open_page("#view=training")
    waiting = []
    page.route(f"**/models/bars/{path}", lambda route: waiting.append(route))
    page.locator(f"#tab-{view}").click()
    wait_for(page, lambda: waiting)
    page.locator("#model").select_option(other.name)
    waiting[0].fulfill(**answer)
    if view == "interpolate":
        wait_for(page, lambda: page.locator("#corners img").count() == 4)
        assert page.evaluate("corners.flat().every((value) => value < 9)")
    elif view == "map":
        wait_for(page, lambda: page.evaluate("codeMap?.of") == other.name)
        assert page.locator("#lack").is_hidden()
        open_page.complaints.clear()  # Chromium logs the 409
    else:
        wait_for(page, lambda: page.locator("#dimensions input").count() > 1)


def test_a_corner_of_one_model_is_none_of_another(open_page, other):
    page = open_page("#view=interpolate")
    wait_for(page, lambda: page.locator("#corners img").count() == 4)
    page.evaluate("corners[1] = corners[1].map(() => 9), saveCorners()")
    page.locator("#tab-image").click()
    page.locator("#model").select_option(other.name)
    wait_for(page, lambda: page.evaluate("model.name === 'other' && image?.edited != null"))
    page.get_by_role("button", name="Use as a corner").click()
    wait_for(page, lambda: page.evaluate("get('corners')"))
    assert page.evaluate("get('corners').split('.').map(unpackCode).flat().every((value) => value < 9)")
