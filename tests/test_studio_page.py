"""The studio's page in a real browser, Chromium without a window: each control is used, and what it shows is compared
with what the model, loaded on its own, makes of the same.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

import vaegan
from vaegan.config import DataSettings
from vaegan.data.conditions import Conditioning
from vaegan.data.picture import Target, prepare
from vaegan.latent.attributes import apply
from vaegan.latent.interpolate import mix
from vaegan.latent.traversals import order_by_kl
from vaegan.recipes import config_for
from vaegan.report.grid import grid, to_uint8
from vaegan.report.vectors import load_vectors
from vaegan.settings_io import load_yaml
from vaegan.training.build import build_model

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")
pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")


from vaegan.studio.app import create_app
from vaegan.studio.guard import Door
from vaegan.studio.library import Library
from vaegan.studio.start import address_of, bind, server_of

PATIENCE = 60.0  # seconds for what should come at once


@pytest.fixture(scope="module")
def serve():
    """Serve runs from a thread and return the address; all are stopped at the end."""
    running = []

    def start(library, door=None):
        listening = bind("127.0.0.1", 0)
        server = server_of(create_app(library, door or Door()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        running.append((server, thread, listening, library))
        return address_of(listening, "127.0.0.1")

    yield start
    for server, thread, listening, library in running:
        server.should_exit = True
        thread.join(30)
        listening.close()
        library.batcher.close()


@pytest.fixture(scope="module")
def other(studio_run, tmp_path_factory):
    """A second run, whose decoder makes something else."""
    run = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(studio_run, run)
    model = vaegan.load(run)
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(1.3)
    model.save(run / "model")
    return run


@pytest.fixture(scope="module")
def library(studio_run, other):
    data = load_yaml(studio_run / "config.yaml").data
    return Library([str(studio_run), str(other)], [data, data])


@pytest.fixture(scope="module")
def address(serve, library):
    return serve(library)


@pytest.fixture(scope="module")
def model(studio_run):
    return vaegan.load(studio_run)


@pytest.fixture
def open_page(new_page, address):
    """Open a view; at the end nothing must have been asked for elsewhere."""

    def open_at(view="", width=1240, at=address, **options):
        page = new_page(width, 900, **options)
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(at + view)
        page.wait_for_function("() => document.getElementById('about').textContent !== ''")
        return page

    open_at.complaints = new_page.complaints
    yield open_at
    assert [url for url in new_page.requests if not url.startswith(("data:", "blob:", "http://127.0.0.1:"))] == []


def as_bytes(images: torch.Tensor) -> np.ndarray:
    """Floats `(N, 1, H, W)` in [0, 1] as int `(N, H, W)`."""
    return (images[:, 0] * 255 + 0.5).floor().int().numpy()


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))), np.int32)


def shown(page, selector: str) -> list[np.ndarray]:
    """Pixels of the images that are there now."""
    uris = page.eval_on_selector_all(selector, "images => images.map(image => image.src)")
    return [opened(uri) for uri in uris if uri.startswith("data:image")]


def wait_for(page, what, words="") -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, words or "it never came"
        page.wait_for_timeout(20)


def wait_for_images(page, selector: str, images: torch.Tensor | np.ndarray) -> None:
    """Wait until exactly these images are shown; batches of other sizes may round the last bit otherwise."""
    expected = as_bytes(images) if isinstance(images, torch.Tensor) else np.asarray(images, np.int32)

    def same() -> bool:
        now = shown(page, selector)
        return len(now) == len(expected) and all(np.abs(a - b).max() <= 1 for a, b in zip(now, expected, strict=True))

    wait_for(page, same, f"{selector} never showed what it should")


def differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether images can be told apart at all, so that a comparison says something."""
    return bool(np.abs(as_bytes(a) - as_bytes(b)).max() > 3)


def choose(page, state: str, option: str) -> None:
    """Choose an option of a list, by the part of the view that it decides."""
    page.locator(f"select[data-state={state}]").select_option(option)


def saved(page, place: str, form: str) -> io.BytesIO:
    """Click a button of a row of Save buttons and return the file."""
    with page.expect_download() as download:
        page.locator(f'[data-save="{place}"]').get_by_role("button", name=f"Save {form}").click()
    assert download.value.suggested_filename.endswith(f".{form.lower()}")
    return io.BytesIO(download.value.path().read_bytes())


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
    page.get_by_role("button", name="Draw others").click()
    wait_for_images(page, grid, model.sample(16, seed=8, prior="normal"))
    assert seed.input_value() == "8"
    choose(page, "label", "right")
    page.get_by_text("gaussian of the label right").wait_for()
    of_label = page.request.get(page.url.split("#")[0] + "api/models/bars/samples?num=16&seed=8&label=right").json()
    assert page.eval_on_selector_all(grid, "all => all.map(one => one.src)") == of_label["images"]
    assert page.locator(grid).first.get_attribute("alt") == "Sample 1 of seed 8, right"


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


@pytest.fixture(scope="module")
def photo():
    """A picture of no special size: its bytes, and what the model should see of it, uint8 `(1, 8, 8)`."""
    rng = np.random.default_rng(4)
    file = io.BytesIO()
    coarse = rng.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((160, 100), Image.Resampling.BICUBIC).save(file, "PNG")
    seen = prepare(Image.open(io.BytesIO(file.getvalue())), Target(8, 8, 1))
    return file.getvalue(), seen[None, :, :, 0].astype(np.int32)


def as_model_sees(photo) -> torch.Tensor:
    return torch.from_numpy(photo[1])[:, None].float() / 255


def test_an_upload_shows_code_reconstruction_and_error(open_page, model, photo):
    page = open_page("#view=image")
    assert page.get_by_text("Nothing chosen yet").is_visible()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    x = as_model_sees(photo)
    x_tilde = model.reconstruct(x)
    wait_for_images(page, "#figure-original img", photo[1])
    wait_for_images(page, "#figure-reconstruction img", x_tilde)
    wait_for_images(page, "#figure-edited img", x_tilde)
    assert differ(x, x_tilde)
    heat = ((x - x_tilde).abs()[0].mean(0) / 0.5).numpy()
    by_hand = np.stack([3 * heat, 3 * heat - 1, 3 * heat - 2], -1).clip(0, 1) * 255
    (errors,) = shown(page, "#figure-error img")
    assert np.abs(errors - by_hand).max() < 4
    page.get_by_text("The code in numbers").click()
    numbers = [float(word) for word in page.locator("#code-numbers").inner_text().split()]
    assert np.allclose(numbers, model.encode(x)[0], rtol=6e-3, atol=1e-3)
    facts = [float(words) for words in page.locator("#image-facts dd").all_inner_texts()]
    assert facts[1:] == pytest.approx([float((x - x_tilde).square().mean()), float((x - x_tilde).abs().mean())], 0.01)
    largest = int(model.encode(x)[0].abs().argmax())
    assert f"in dimension {largest}" in page.locator("#code-chart").get_attribute("aria-label")
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, "#figure-original img", photo[1])


def sent(page, way: str, selector: str, content: bytes) -> None:
    """Drop a file somewhere, or paste it."""
    page.evaluate(
        """([selector, text, way]) => {
          const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([bytes], "a.png", { type: "image/png" }));
          const event = way === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
          document.querySelector(selector).dispatchEvent(event);
        }""",
        [selector, base64.b64encode(content).decode(), way],
    )


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(open_page, photo, way):
    page = open_page("#view=image")
    sent(page, way, "#drop", photo[0])
    wait_for_images(page, "#figure-original img", photo[1])


def test_a_bad_upload_is_told_and_the_next_good_one_works(open_page, photo):
    page = open_page("#view=image")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no image"})
    page.get_by_role("alert").get_by_text("this is no image that can be read").wait_for()
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    wait_for_images(page, "#figure-original img", photo[1])
    assert not page.locator("#problem").is_visible()
    assert [words for words in open_page.complaints if "415" not in words] == []
    open_page.complaints.clear()  # the browser itself notes the answer 415


def test_examples_and_sliders(open_page, model, library, studio_run):
    page = open_page("#view=image")
    first = page.locator("#examples img").first
    first.wait_for()
    of_all = "all => all.map(one => one.alt).join()"
    names = page.eval_on_selector_all("#examples img", of_all)
    page.get_by_role("button", name="Others").click()
    wait_for(page, lambda: page.eval_on_selector_all("#examples img", of_all) not in ("", names))
    index = int(first.get_attribute("alt").split()[1].strip(":"))
    first.click()
    images = library["bars"].images("test").images
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
    page.get_by_role("tab", name="Between").click()
    wait_for_images(page, '#corners img[alt="Corner: Left above"]', model.decode(z))


def test_between_two_three_and_four(open_page, model):
    page = open_page("#view=between")
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
    page = open_page("#view=between&count=2&x=0")
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
    arrays = np.load(saved(page, "between", "npz"))
    assert np.allclose(arrays["codes"][[0, -1]], codes, atol=1e-5)
    assert Image.open(saved(page, "between", "GIF")).n_frames > 8
    assert Image.open(saved(page, "between", "PNG")).size[0] > 8 * 16
    wait_for_images(page, "#figure-blend img", model.decode(torch.tensor(codes[:1])))
    page.get_by_role("button", name="Open in Image").first.click()
    wait_for_images(page, "#figure-reconstruction img", model.decode(torch.tensor(codes[:1])))
    page.get_by_role("tab", name="Between").click()
    page.get_by_role("button", name="From Image: Right").click()
    wait_for_images(page, "#corners img", model.decode(torch.tensor([codes[0], codes[0]])))


def places_on_screen(page, placed) -> np.ndarray:
    """Where each dot of the whole map is, by hand: the middle of all in the middle, 8 % to spare."""
    width, height = page.eval_on_selector("#map-canvas", "c => [c.clientWidth, c.clientHeight]")
    places = np.array(placed["places"])
    low, high = places.min(0), places.max(0)
    unit = 1.08 * max((high - low)[0] / width, (high - low)[1] / height)
    return (places - (low + high) / 2) / unit * [1, -1] + [width / 2, height / 2]


def test_a_click_on_the_map_shows_the_image(open_page, library, model):
    page = open_page("#view=map&split=train&k=3&points=500")
    page.locator("#galleries h3").nth(2).wait_for()
    asked = "api/models/bars/map?how=pca&num=500&split=train&k=3&by=kmeans"
    placed = page.request.get(page.url.split("#")[0] + asked).json()
    at = places_on_screen(page, placed)
    distances = np.linalg.norm(at[:, None] - at[None], axis=-1) + 1e9 * np.eye(len(at))
    lonely = int(distances.min(1).argmax())
    page.locator("#map-canvas").click(position={"x": at[lonely, 0], "y": at[lonely, 1]})
    index = placed["indices"][lonely]
    images = library["bars"].images("train")
    wait_for_images(page, "#picked-original img", images.images[index : index + 1, :, :, 0])
    x = torch.from_numpy(np.array(images.images[index : index + 1])).permute(0, 3, 1, 2).float() / 255
    wait_for_images(page, "#picked-reconstruction img", model.reconstruct(x))
    text = page.locator("#picked-text").inner_text()
    assert (
        text == f"Image {index}: label {images.label_names[images.labels[index]]}, cluster {placed['clusters'][lonely]}"
    )
    assert page.locator("#legend").inner_text().split() == ["left", "right"]
    choose(page, "colour", "clusters")
    wait_for(page, lambda: page.locator("#legend li").count() == 3)
    assert page.locator("#legend li").first.inner_text() == placed["cluster_names"][0]
    page.get_by_label("Number").fill("4")
    page.get_by_label("Number").press("Enter")
    wait_for_images(page, "#picked-original img", images.images[4:5, :, :, 0])
    page.locator("#galleries .tiles").nth(1).locator("button").first.click()
    chosen = int(page.locator("#galleries .tiles").nth(1).locator("img").first.get_attribute("alt").split()[1])
    wait_for_images(page, "#picked-original img", images.images[chosen : chosen + 1, :, :, 0])
    wait_for(page, lambda: f"Image {chosen}:" in page.locator("#picked-text").inner_text())
    assert "cluster 1" in page.locator("#picked-text").inner_text()
    page.locator("#picked").get_by_role("button", name="Open in Image").click()
    wait_for_images(page, "#figure-original img", images.images[chosen : chosen + 1, :, :, 0])


def test_the_map_is_zoomed_moved_and_saved(open_page):
    page = open_page("#view=map&split=train&k=3&points=500")
    page.locator("#galleries h3").nth(2).wait_for()
    canvas = page.get_by_role("application", name="Map of codes")

    def box() -> list[float]:
        return page.evaluate("() => [box.x, box.y, box.unit]")

    x, y, unit = box()
    page.get_by_role("button", name="Zoom in").click()
    assert box() == pytest.approx([x, y, 0.7 * unit])
    page.get_by_role("button", name="Zoom out").click()
    assert box() == pytest.approx([x, y, unit])
    canvas.focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    assert box() == pytest.approx([x + 40 * 0.8 * unit, y + 40 * 0.8 * unit, 0.8 * unit])
    again = open_page("#" + page.url.split("#")[1])
    again.locator("#galleries h3").nth(2).wait_for()
    assert again.evaluate("() => [box.x, box.y, box.unit]") == pytest.approx(box(), rel=1e-4)
    page.get_by_role("button", name="All").click()
    assert box() == pytest.approx([x, y, unit])
    area = canvas.bounding_box()
    page.mouse.move(area["x"] + 100, area["y"] + 100)
    page.mouse.down()
    page.mouse.move(area["x"] + 150, area["y"] + 120)
    page.mouse.up()
    assert box() == pytest.approx([x - 50 * unit, y + 20 * unit, unit])
    page.mouse.wheel(0, -200)
    wait_for(page, lambda: box()[2] < 0.7 * unit)
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    width, height = page.eval_on_selector("#map-canvas", "c => [c.clientWidth, c.clientHeight]")
    page.locator("#picked-text").get_by_text("Image").wait_for()
    asked = "api/models/bars/map?how=pca&num=500&split=train&k=3&by=kmeans"
    placed = page.request.get(page.url.split("#")[0] + asked).json()
    nearest = int(np.linalg.norm(places_on_screen(page, placed) - [width / 2, height / 2], axis=1).argmin())
    assert page.get_by_label("Number").input_value() == str(placed["indices"][nearest])
    assert np.load(saved(page, "map", "npz"))["indices"].tolist() == placed["indices"]
    assert Image.open(saved(page, "map", "PNG")).size == (width, height)
    assert Image.open(saved(page, "clusters", "PNG")).format == "PNG"
    assert Image.open(saved(page, "clusters", "GIF")).n_frames > 1
    assert set(np.load(saved(page, "clusters", "npz"))) == {"indices", "codes", "clusters", "centres"}


def test_clusters_by_number_way_and_split(open_page):
    page = open_page("#view=map&split=train&points=500&k=2")
    headings = page.locator("#galleries h3")
    wait_for(page, lambda: headings.count() == 2)
    page.locator("[data-state=k]").fill("4")
    page.locator("[data-state=k]").press("Enter")
    wait_for(page, lambda: headings.count() == 4)
    sizes = [int(words.split(": ")[1].split()[0]) for words in headings.all_inner_texts()]
    choose(page, "by", "mixture")
    asked = "api/models/bars/clusters?k=4&how=mixture&num=500&split=train"
    found = page.request.get(page.url.split("#")[0] + asked).json()["clusters"]
    wait_for(page, lambda: headings.all_inner_texts() == [f"Cluster {cluster['name']}" for cluster in found])
    images = [opened(uri) for cluster in found for uri in cluster["images"]]
    wait_for_images(page, "#galleries img", np.stack(images))
    choose(page, "split", "test")
    wait_for(
        page, lambda: sum(int(words.split(": ")[1].split()[0]) for words in headings.all_inner_texts()) < sum(sizes)
    )


def test_so_many_points_are_shown_in_so_many_places(open_page, library):
    page = open_page("#view=map&split=train&points=2000&k=2")
    num = len(library["bars"].images("train"))
    wait_for(page, lambda: page.evaluate("() => codeMap?.indices.length") == num)
    with page.expect_request(lambda request: "/map?" in request.url and "num=500" in request.url):
        choose(page, "points", "500")
    with page.expect_request(lambda request: "/map?" in request.url and "num=2000" in request.url):
        choose(page, "points", "2000")
    for place in page.locator("#place option").all_inner_texts():
        choose(page, "place", place)
        asked = f"api/models/bars/map?how={place}&num=2000&split=train&k=2&by=kmeans"
        placed = page.request.get(page.url.split("#")[0] + asked).json()["places"]
        wait_for(page, lambda placed=placed: page.evaluate("() => codeMap?.places") == placed)


def test_training_curves_and_snapshots(open_page, studio_run):
    page = open_page("#view=training")
    page.get_by_role("heading", name="Training is finished").wait_for()
    records = [json.loads(line) for line in (studio_run / "metrics.jsonl").read_text().splitlines()]
    train = [record for record in records if record["split"] == "train"]
    facts = page.locator("#training-facts").inner_text()
    assert f"{train[-1]['images']:,}" in facts
    encoder = page.locator('#charts figure[data-part="encoder"]')
    names = list(train[-1]["losses"]["encoder"])

    def told() -> list[str]:
        return encoder.locator("output").all_inner_texts()

    wait_for(page, lambda: told() == [f"{train[-1]['losses']['encoder'][name]:.3g}" for name in names])
    page.get_by_role("slider", name="Values at").fill("0")
    wait_for(page, lambda: told() == [f"{train[0]['losses']['encoder'][name]:.3g}" for name in names])
    assert encoder.locator("circle").count() == len(names) * sum(record["split"] == "test" for record in records)
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
    shutil.copytree(studio_run, run, ignore=shutil.ignore_patterns("model", "losses.png", "*samples"))
    lines = (studio_run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("")
    page = open_page("#view=training", at=serve(Library([str(run)])))
    page.get_by_role("heading", name="Training goes on").wait_for()
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
    page.get_by_role("heading", name="Training is finished").wait_for()


def test_a_new_state_of_the_model_is_noticed(open_page, serve, studio_run, tmp_path, model):
    """First there is none; then one; then another."""
    run = tmp_path / "growing"
    shutil.copytree(studio_run, run, ignore=shutil.ignore_patterns("model", "losses.png"))
    page = open_page("#num=16", at=serve(Library([str(run)])))
    page.get_by_role("alert").get_by_text("growing has no saved model yet").wait_for()
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
    page.get_by_role("tab", name="Between").click()
    page.get_by_role("tab", name="Image").click()
    wait_for_images(page, "#figure-edited img", changed.decode(z))
    page.get_by_text("None are saved with this model").wait_for()  # vectors of the weights before mean nothing


def test_a_film_is_stopped(open_page, serve, studio_run, tmp_path):
    run = tmp_path / "long"
    shutil.copytree(studio_run, run)
    picture = next((run / "samples").glob("*.png"))
    for images in range(10_000, 10_400):
        (run / "samples" / f"{images:012}.png").symlink_to(picture)
    page = open_page("#view=training", at=serve(Library([str(run)])))
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Play").wait_for()
    assert int(page.get_by_role("slider", name="After").input_value()) < 401


def test_models_side_by_side(open_page, model, other, library):
    page = open_page("#view=compare&source=train:3")
    second = vaegan.load(other)
    assert differ(model.sample(10), second.sample(10))
    for name, one in (("bars", model), ("other", second)):
        wait_for_images(page, f'#compared article[aria-label="{name}"] .tiles img', one.sample(10, seed=0))
        image = library["bars"].images("train").images[3:4]
        x = torch.from_numpy(np.array(image)).permute(0, 3, 1, 2).float() / 255
        wait_for_images(page, f'#compared img[alt="Original, {name}"]', image[..., 0])
        wait_for_images(page, f'#compared img[alt="Reconstruction, {name}"]', one.reconstruct(x))
        assert shown(page, f'#compared img[alt="Error, {name}"]')[0].shape == (8, 8, 3)
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
    arrays = np.load(saved(page, "compare", "npz"))
    assert set(arrays) == {"bars/samples", "bars/image", "other/samples", "other/image"}
    for name, one in (("bars", model), ("other", second)):
        assert np.allclose(arrays[f"{name}/samples"], one.sample_codes(10, seed=9), atol=1e-4)
        assert np.allclose(arrays[f"{name}/image"], one.encode(x), rtol=1e-3, atol=1e-3)
    before = page.url
    page.get_by_role("button", name="Another image").click()
    wait_for(page, lambda: page.url != before)
    index = int(page.url.split("source=test%3A")[1].split("&")[0])
    wait_for_images(
        page, '#compared img[alt="Original, other"]', library["bars"].images("test").images[index : index + 1, :, :, 0]
    )
    box = page.get_by_role("checkbox", name="bars")
    box.focus()
    page.keyboard.press("Space")
    wait_for(page, lambda: page.locator("#compared article").count() == 1)
    assert page.locator("#compared article").get_attribute("aria-label") == "other"
    assert page.evaluate("() => document.activeElement.closest('label').textContent") == "bars"


def test_another_model_is_chosen(open_page, other):
    page = open_page("#num=16")
    second = vaegan.load(other)
    page.get_by_label("Model").select_option("other")
    wait_for_images(page, "#samples-grid img", second.sample(16, seed=0))
    again = open_page("#" + page.url.split("#")[1])
    wait_for_images(again, "#samples-grid img", second.sample(16, seed=0))
    assert again.get_by_label("Model").input_value() == "other"


def test_the_link_is_copied(open_page):
    page = open_page("#num=16&seed=5", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("status").get_by_text("Link copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    page.evaluate("() => { location.hash = '#num=16&seed=6'; }")
    wait_for(page, lambda: page.locator("#samples").get_by_label("Seed").input_value() == "6")


def test_an_image_too_large_for_a_link_is_shown_whole(open_page, model, photo):
    page = open_page("#view=image")
    page.evaluate("() => { longest = 10; }")
    page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": photo[0]})
    x = as_model_sees(photo)
    wait_for_images(page, "#figure-original img", photo[1])
    wait_for_images(page, "#figure-edited img", model.reconstruct(x))
    page.get_by_role("status").get_by_text("too large for a link").wait_for()
    page.get_by_role("tab", name="Side by side").click()
    wait_for_images(page, '#compared img[alt="Original, other"]', photo[1])
    again = open_page("#view=image&" + page.url.split("#")[1])
    wait_for_images(again, "#figure-reconstruction img", model.reconstruct(x))
    assert not again.locator("#figure-original").is_visible()


def test_corners_are_images_of_ones_own(open_page, model, photo):
    page = open_page("#view=between&count=2")
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


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Models with weights that make a difference: two that are told something, a GAN, an autoencoder."""
    folder = tmp_path_factory.mktemp("kinds")
    by_label = Conditioning("labels", tuple("0123456789"))
    measured = Conditioning("attributes", ("tall", "old"), (0.5, 2), (0.5, 1.5), (0.5, 2), ((0.0, 1.0), (1.0, 4.0)))
    made = {"by-label": by_label, "by-attributes": measured, "gan": None, "ae": None}
    for name, condition in made.items():
        own = {"model.condition": condition.kind} if condition else {"model.kind": name}
        info = {"condition": condition.as_json()} if condition else {}
        torch.manual_seed(3)
        one = build_model(config_for("digits", {**own, "model.latent_dim": 4}), (1, 8, 8), info)
        for weight in one.parameters():
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight)
        one.eval().save(folder / name)
    return folder


@pytest.fixture(scope="module")
def at_kinds(serve, kinds):
    names = ["by-label", "by-attributes", "gan", "ae"]
    data = [DataSettings(source="" if name == "by-attributes" else "digits") for name in names]
    return serve(Library([str(kinds / name) for name in names], data))


def test_what_a_model_is_told_by_label(open_page, at_kinds, kinds):
    page = open_page("#num=16&model=by-label", at=at_kinds)
    model = vaegan.load(kinds / "by-label")
    z = model.sample_codes(16, seed=0)
    label = model.conditioning.of_labels
    wait_for_images(page, "#samples-grid img", model.decode(z, condition=model.condition_in_turn(16)))
    told = page.get_by_role("group", name="What the model is told").get_by_label("Label")
    told.select_option("3")
    threes = model.decode(z, condition=label(["3"] * 16))
    assert differ(threes, model.decode(z, condition=label(["7"] * 16)))
    wait_for_images(page, "#samples-grid img", threes)
    again = open_page("#" + page.url.split("#")[1], at=at_kinds)
    wait_for_images(again, "#samples-grid img", threes)
    page.locator("#samples-grid button").nth(2).click()
    wait_for_images(page, "#figure-edited img", threes[2:3])
    told.select_option("7")
    wait_for_images(page, "#figure-edited img", model.decode(z[2:3], condition=label(["7"])))
    page.get_by_role("tab", name="Between").click()
    page.wait_for_function("() => corners.length === 4")
    corners = torch.tensor(page.evaluate("() => readCorners().then(() => corners)"))
    wait_for_images(page, "#corners img", model.decode(corners, condition=label(["7"] * 4)))


def test_of_an_image_of_the_data_a_model_is_told_what_is_known(open_page, at_kinds, kinds):
    page = open_page("#view=image&source=test:4&model=by-label", at=at_kinds)
    model = vaegan.load(kinds / "by-label")
    example = page.request.get(at_kinds + "api/models/by-label/examples/4").json()
    z, label = torch.tensor([example["code"]]), model.conditioning.of_labels
    wait_for_images(page, "#figure-edited img", model.decode(z, condition=label([example["label"]])))
    other = "0" if example["label"] != "0" else "1"
    page.locator("#told select").select_option(other)
    wait_for_images(page, "#figure-edited img", model.decode(z, condition=label([other])))


def test_what_a_model_is_told_by_attributes(open_page, at_kinds, kinds):
    page = open_page("#num=16&model=by-attributes", at=at_kinds)
    model = vaegan.load(kinds / "by-attributes")
    z = model.sample_codes(16, seed=0)
    as_data = model.decode(z, condition=model.condition_in_turn(16))
    wait_for_images(page, "#samples-grid img", as_data)
    tall = page.locator("#told").get_by_label("tall")
    tall.fill("3")
    tall.press("Enter")
    taller = model.decode(z, condition=model.conditioning.of_attributes({"tall": 3.0}, 16))
    assert differ(taller, as_data)
    wait_for_images(page, "#samples-grid img", taller)
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
    page.get_by_role("tab", name="Between").click()
    wait_for_images(page, "#corners img", model.sample(4, seed=0))
    assert page.locator("#corners button").all_inner_texts() == ["Sample", "From Image"] * 4


def test_an_autoencoder_has_no_samples_but_corners_and_long_sliders(open_page, at_kinds, kinds):
    page = open_page("#model=ae", at=at_kinds)
    model = vaegan.load(kinds / "ae")
    page.get_by_role("alert").get_by_text("this model is a plain autoencoder").wait_for()
    page.get_by_text("No samples.").wait_for()
    assert [words for words in open_page.complaints if "409" not in words and "400" not in words] == []
    open_page.complaints.clear()  # the browser itself notes the refusal
    page.get_by_role("tab", name="Between").click()
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


def test_two_fingers_zoom_the_map(open_page):
    page = open_page("#view=map&split=train&k=3&points=500", width=390, has_touch=True)
    page.locator("#galleries h3").nth(2).wait_for()
    canvas = page.locator("#map-canvas")
    canvas.scroll_into_view_if_needed()
    area = canvas.bounding_box()
    x, y = area["x"] + area["width"] / 2, area["y"] + area["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *places: float) -> None:
        points = [{"x": x + place, "y": y, "id": number} for number, place in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def box() -> list[float]:
        return page.evaluate("() => [box.x, box.y, box.unit]")

    before = box()
    fingers("touchStart", -50)
    fingers("touchStart", -50, 50)
    fingers("touchMove", -100, 100)
    fingers("touchEnd")
    wait_for(page, lambda: box()[2] < 0.6 * before[2])
    assert box() == pytest.approx([*before[:2], before[2] / 2], abs=1e-3 * before[2] * area["width"])
    assert page.locator("#picked-empty").is_visible()
    fingers("touchStart", 30)
    fingers("touchEnd")
    page.locator("#picked-text").get_by_text("Image").wait_for()


def test_a_link_where_nothing_can_be_copied(open_page):
    page = open_page("#num=16&seed=5")
    shown_links = []
    page.on("dialog", lambda dialog: (shown_links.append(dialog.default_value), dialog.dismiss()))
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    page.get_by_role("button", name="Copy link").click()
    wait_for(page, lambda: shown_links == [page.url])


def test_links_to_the_content_and_to_the_api(open_page):
    page = open_page("#view=between&count=3")
    page.locator("#corners img").nth(2).wait_for()
    before = page.url
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main-part"
    assert page.url == before
    assert page.get_by_role("tabpanel", name="Between").is_visible()
    page.get_by_role("link", name="API").click()
    page.get_by_role("heading", name="vaegan API").wait_for()


def test_views_by_the_keyboard(open_page):
    page = open_page()
    page.get_by_role("tab", name="Samples").focus()
    for name in ("Image", "Between", "Map", "Training", "Side by side", "Samples"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("() => document.activeElement.textContent") == name
        assert page.get_by_role("tab", selected=True).inner_text() == name
        assert page.get_by_role("tabpanel", name=name).is_visible()
        assert page.get_by_role("tabpanel").count() == 1
    page.keyboard.press("End")
    assert page.get_by_role("tab", selected=True).inner_text() == "Side by side"
    page.keyboard.press("Home")
    page.locator("#samples-grid img").first.wait_for()
    seen = set()
    for _ in range(16):
        page.keyboard.press("Tab")
        tag, width = page.evaluate(
            "() => [document.activeElement.tagName, parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"
        )
        assert width >= 2, tag
        seen.add(tag)
    assert {"BUTTON", "SELECT", "INPUT"} <= seen


@pytest.mark.parametrize("view", ["samples", "image", "between", "map", "training", "compare"])
def test_everything_has_a_name_and_fits(open_page, view):
    page = open_page(f"#view={view}&source=test:1&points=500", width=390)
    page.wait_for_load_state("networkidle")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas, [role=application], img")]
          .filter(one => one.checkVisibility() && !one.closest("[aria-hidden=true]"))
          .filter(one => !(one.ariaLabel || one.alt || one.labels?.length || one.textContent.trim()
            || one.querySelector("img[alt]")?.alt))
          .map(one => one.outerHTML)"""
    )
    assert nameless == []
    repeated = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map(one => one.id); "
        "return ids.filter((id, at) => ids.indexOf(id) !== at); }"
    )
    assert repeated == []
    for width in (390, 800, 1240):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert page.evaluate("() => [...document.images].every(image => image.complete || !image.src)")


def test_light_and_dark(open_page):
    def ground(page) -> float:
        colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        return sum(map(int, colour[4:-1].split(","))) / 3

    light, dark = open_page(color_scheme="light"), open_page(color_scheme="dark")
    assert ground(light) > 230
    assert ground(dark) < 40
    light.get_by_role("button", name="Dark").click()
    assert ground(light) < 40
    assert light.get_by_role("button", name="Dark").get_attribute("aria-pressed") == "true"
    light.get_by_role("button", name="Dark").click()
    assert ground(light) > 230


def test_a_token_is_asked_for(open_page, browser, serve, studio_run, model):
    at = serve(Library([str(studio_run)]), Door("a-long-token"))
    page = browser.new_context().new_page()
    page.goto(at)
    page.get_by_role("dialog").wait_for()
    page.locator("#token").fill("not this one")
    page.keyboard.press("Enter")
    page.get_by_text("This is not the token.").wait_for()
    page.locator("#token").fill("a-long-token")
    page.keyboard.press("Enter")
    wait_for_images(page, "#samples-grid img", model.sample(36, seed=0))
    page.context.close()
    brought = open_page("#token=a-long-token&num=16", at=at)
    wait_for_images(brought, "#samples-grid img", model.sample(16, seed=0))
    assert "token" not in brought.url
