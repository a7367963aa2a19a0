"""What is the same in each view: links, keyboard, names for those who cannot see, light and dark, the token."""

from __future__ import annotations

import pytest
from studio_page.pages import wait_for, wait_for_images

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")

from vaegan.studio.guard import Access
from vaegan.studio.registry import Registry


def test_the_link_is_copied(open_page):
    page = open_page("#num=16&seed=5", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("status").get_by_text("Link copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    page.evaluate("() => { location.hash = '#num=16&seed=6'; }")
    wait_for(page, lambda: page.locator("#samples").get_by_label("Seed").input_value() == "6")


def test_a_link_where_nothing_can_be_copied(open_page):
    page = open_page("#num=16&seed=5")
    shown_links = []
    page.on("dialog", lambda dialog: (shown_links.append(dialog.default_value), dialog.dismiss()))
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    page.get_by_role("button", name="Copy link").click()
    wait_for(page, lambda: shown_links == [page.url])


def test_links_to_the_content_and_to_the_api(open_page):
    page = open_page("#view=interpolate&count=3")
    page.locator("#corners img").nth(2).wait_for()
    before = page.url
    page.locator(".skip").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main-part"
    assert page.url == before
    assert page.get_by_role("tabpanel", name="Interpolate").is_visible()
    page.get_by_role("link", name="API").click()
    page.get_by_role("heading", name="vaegan API").wait_for()


def test_views_by_the_keyboard(open_page):
    page = open_page()
    page.get_by_role("tab", name="Samples").focus()
    for name in ("Image", "Interpolate", "Map", "Training", "Compare", "Samples"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("() => document.activeElement.textContent") == name
        assert page.get_by_role("tab", selected=True).inner_text() == name
        assert page.get_by_role("tabpanel", name=name).is_visible()
        assert page.get_by_role("tabpanel").count() == 1
    page.keyboard.press("End")
    assert page.get_by_role("tab", selected=True).inner_text() == "Compare"
    page.keyboard.press("Home")
    page.locator("#samples-grid:not(.busy) img").first.wait_for()  # not those of before, which are replaced
    seen = set()
    for _ in range(16):
        page.keyboard.press("Tab")
        tag, width = page.evaluate(
            "() => [document.activeElement.tagName, parseFloat(getComputedStyle(document.activeElement).outlineWidth)]"
        )
        assert width >= 2, tag
        seen.add(tag)
    assert {"BUTTON", "SELECT", "INPUT"} <= seen


@pytest.mark.parametrize("view", ["samples", "image", "interpolate", "map", "training", "compare"])
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
    page.wait_for_function("() => [...document.images].every(image => image.complete || !image.src)")


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
    at = serve(Registry([str(studio_run)]), Access("a-long-token"))
    page = browser.new_context().new_page()
    page.goto(at)
    page.get_by_role("dialog").wait_for()
    page.locator("#token").fill("not this one")
    page.keyboard.press("Enter")
    page.get_by_text("Wrong token.").wait_for()
    page.route("**/api/token", lambda route: route.fulfill(status=429, json={"error": "try again in a second"}))
    page.keyboard.press("Enter")
    page.get_by_text("Try again in a second.").wait_for()
    page.unroute("**/api/token")
    page.route("**/api/token", lambda route: route.abort())
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for(state="hidden")
    wait_for(page, lambda: page.evaluate("asking === null"))
    page.unroute("**/api/token")
    page.reload()
    page.get_by_role("dialog").wait_for()
    page.locator("#token").fill("a-long-token")
    page.keyboard.press("Enter")
    wait_for_images(page, "#samples-grid img", model.sample(36, seed=0))
    page.context.close()
    brought = open_page("#token=a-long-token&num=16", at=at)
    wait_for_images(brought, "#samples-grid img", model.sample(16, seed=0))
    assert "token" not in brought.url
