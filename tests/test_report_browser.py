"""The page of `vaegan report` in a real browser: Chromium, without a window, opened from the file."""

from __future__ import annotations

import pytest

from vaegan.cli import main

pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install -e '.[browser]'")


@pytest.fixture(scope="module")
def address(tiny, tmp_path_factory):
    """Of the report of a real run of three snapshots, whose classes make attributes and coloured maps."""
    run = tmp_path_factory.mktemp("runs") / "blobs"
    assert main(["train", *tiny, "--train.epochs", "3", "--out", str(run)]) == 0
    assert main(["report", str(run), "--split", "train", "--k", "3", "--num", "60"]) == 0
    return (run / "report.html").as_uri()


@pytest.fixture
def open_page(new_page, address):
    """Open the page at some width; at the end nothing must have been asked for but itself."""

    def open_at(width: int = 1200, **options):
        page = new_page(width, **options)
        page.goto(address)
        page.get_by_text("Show the snapshots").click()
        return page

    yield open_at
    assert {url for url in new_page.requests if not url.startswith("data:")} == {address}


def shown_frames(page) -> list[str]:
    return page.eval_on_selector_all(".frame:not([hidden])", "frames => frames.map(frame => frame.alt)")


def test_the_slider_changes_the_pictures(open_page):
    page = open_page()
    slider = page.get_by_role("slider", name="Snapshot", exact=True)
    moment = page.locator(".slider output")
    last = moment.inner_text()
    assert shown_frames(page) == [f"Samples after {last}", f"Reconstructions after {last}"]
    slider.focus()
    page.keyboard.press("Home")
    first = moment.inner_text()
    assert first != last
    assert slider.get_attribute("aria-valuetext") == first
    assert shown_frames(page) == [f"Samples after {first}", f"Reconstructions after {first}"]
    page.keyboard.press("ArrowRight")
    assert moment.inner_text() not in (first, last)
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert moment.inner_text() == last


def test_the_slider_plays_and_stops_at_its_end(open_page):
    page = open_page()
    last = page.locator(".slider output").inner_text()
    page.evaluate(  # what is seen from one change to the next, however long the test looks away
        """() => {
          const [block, seen] = [document.querySelector(".slider"), (window.seen = [])];
          const text = (selector) => block.querySelector(selector).textContent;
          new MutationObserver(() => seen.push([text("button"), text("output")]))
            .observe(block, { subtree: true, childList: true, characterData: true });
        }"""
    )
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("last => seen.at(-1)?.join() === `Play,${last}`", arg=last)
    buttons, moments = zip(*page.evaluate("() => seen"), strict=True)
    assert moments[0] != last
    assert buttons == ("Stop",) * (len(buttons) - 1) + ("Play",)


def test_folds_open_with_the_mouse_and_the_keyboard(open_page):
    page = open_page()
    setting = page.locator("#configuration").get_by_text("loss.kl_weight", exact=False).last
    assert not setting.is_visible()
    page.get_by_text("All settings").click()
    assert setting.is_visible()
    values = page.get_by_text("Latest losses")
    assert not values.is_visible()
    page.get_by_text("Latest values").focus()
    page.keyboard.press("Enter")
    assert values.is_visible()


def test_charts_are_read_with_the_pointer_and_the_keyboard(open_page):
    page = open_page()
    chart = page.locator("figure.chart").first
    plot = chart.locator(".plot")
    plot.scroll_into_view_if_needed()
    at_rest = chart.inner_text()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 50)
    early = chart.inner_text()
    assert early != at_rest
    assert chart.locator(".spot").first.is_visible()
    page.mouse.move(0, 0)
    assert chart.inner_text() == at_rest
    plot.focus()
    page.keyboard.press("Home")
    first = plot.get_attribute("aria-valuetext")
    assert chart.locator(".where").inner_text() in first
    page.keyboard.press("ArrowRight")
    assert plot.get_attribute("aria-valuetext") != first
    page.keyboard.press("Escape")
    assert chart.inner_text() == at_rest


def test_what_has_the_focus_is_seen(open_page):
    page = open_page()
    seen = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        name, width = page.evaluate(
            "() => [document.activeElement.tagName, parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"
        )
        assert width >= 2, name
        seen.add(name)
    assert {"A", "SUMMARY", "DIV", "INPUT"} <= seen


@pytest.mark.parametrize("width", [390, 800, 1200])
def test_nothing_is_wider_than_the_window(width, open_page):
    page = open_page(width)
    page.evaluate("() => document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    wide = "figures => figures.filter(figure => figure.scrollWidth > figure.clientWidth).length"
    assert page.eval_on_selector_all("figure, section", wide) == 0
    narrow = page.eval_on_selector_all("figure svg text", "texts => texts.map(t => t.getBoundingClientRect().height)")
    assert min(narrow) > 9  # pixels: the marks of the axes can be read


BROKEN = """cells => cells.flatMap(cell => {
  const text = [...cell.childNodes].find(node => node.nodeType === Node.TEXT_NODE), range = document.createRange();
  return [...(text?.data ?? "").matchAll(/\\S{1,11}(?!\\S)/g)].filter(({ index, 0: word }) => {
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    return !/[-/]/.test(word) && range.getClientRects().length > 1;
  }).map(([word]) => word);
})"""


@pytest.mark.parametrize("width", [390, 1200])
def test_no_table_breaks_a_word(width, open_page):
    page = open_page(width)
    page.evaluate("() => document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert page.locator("td").count() > 100
    assert page.eval_on_selector_all("td", BROKEN) == []


def test_every_picture_is_whole(open_page):
    page = open_page()
    page.wait_for_function("() => [...document.images].every(image => image.complete)")
    assert page.evaluate("() => [...document.images].filter(image => image.naturalWidth === 0).length") == 0


def test_dark_is_dark_and_light_is_light(open_page):
    grounds = [
        open_page(color_scheme=scheme).evaluate("() => getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, ground[4:-1].split(","))) / 3 for ground in grounds)
    assert light > 230
    assert dark < 40


def test_without_scripts_the_last_of_everything_is_there(open_page):
    page = open_page(java_script_enabled=False)
    assert page.locator(".frame:visible").count() == 2
    assert not page.get_by_role("button", name="Play").is_visible()
    assert page.locator(".legend b").first.inner_text()
