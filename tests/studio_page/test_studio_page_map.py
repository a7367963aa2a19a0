"""The view Map: where codes lie, the image behind each, and clusters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from studio_page.pages import choose, opened, saved, wait_for, wait_for_images


def places_on_screen(page, placed) -> np.ndarray:
    """Where each dot of the whole map is, by hand: the middle of all in the middle, 8 % to spare."""
    width, height = page.eval_on_selector("#map-canvas", "c => [c.clientWidth, c.clientHeight]")
    places = np.array(placed["places"])
    low, high = places.min(0), places.max(0)
    unit = 1.08 * max((high - low)[0] / width, (high - low)[1] / height)
    return (places - (low + high) / 2) / unit * [1, -1] + [width / 2, height / 2]


def test_a_click_on_the_map_shows_the_image(open_page, registry, model):
    page = open_page("#view=map&split=train&k=3&points=500")
    page.locator("#galleries h3").nth(2).wait_for()
    num = len(registry["bars"].version().images("train"))
    assert page.get_by_role("heading", name=f"Map of {num} codes").is_visible()
    assert page.locator("#points option:checked").inner_text() == f"all {num}"
    asked = "api/models/bars/map?how=pca&num=500&split=train&k=3&by=kmeans"
    placed = page.request.get(page.url.split("#")[0] + asked).json()
    at = places_on_screen(page, placed)
    distances = np.linalg.norm(at[:, None] - at[None], axis=-1) + 1e9 * np.eye(len(at))
    lonely = int(distances.min(1).argmax())
    page.locator("#map-canvas").click(position={"x": at[lonely, 0], "y": at[lonely, 1]})
    index = placed["indices"][lonely]
    images = registry["bars"].version().images("train")
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
    wait_for(page, lambda: box() == pytest.approx([x - 50 * unit, y + 20 * unit, unit]))
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


def test_the_server_chooses_how_many_clusters(open_page):
    page = open_page("#view=map&split=test")
    assert page.evaluate("[mapQuery(), clustersQuery()].map((values) => query(values).has('k'))") == [False, False]
    page.locator("#galleries h3").nth(1).wait_for()


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


def test_so_many_points_are_shown_in_so_many_places(open_page, registry):
    page = open_page("#view=map&split=train&points=2000&k=2")
    num = len(registry["bars"].version().images("train"))
    wait_for(page, lambda: page.evaluate("() => codeMap?.indices.length") == num)
    with page.expect_request(lambda request: "/map?" in request.url and "num=500" in request.url):
        choose(page, "points", "500")
    with page.expect_request(lambda request: "/map?" in request.url and "num=2000" in request.url):
        choose(page, "points", "2000")
    for place in page.eval_on_selector_all("#place option", "all => all.map(one => one.value)"):
        choose(page, "place", place)
        asked = f"api/models/bars/map?how={place}&num=2000&split=train&k=2&by=kmeans"
        placed = page.request.get(page.url.split("#")[0] + asked).json()["places"]
        wait_for(page, lambda placed=placed: page.evaluate("() => codeMap?.places") == placed)


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
