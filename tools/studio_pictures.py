r"""Screenshots of the studio: every view, light and dark, wide and narrow, as PNGs of 256 colours.

Needs the extras `studio` and `browser`, and Chromium. For those of the documentation:

    vaegan train small-32 --data shapes-faces --data.size 48 --data.limit 20000 --train.images 80000 \
        --train.pretrain-epochs 1 --train.snapshot-epochs 1 --train.best-metric none --out runs/faces
    vaegan attributes runs/faces --method linear
    python tools/studio_pictures.py runs/faces --out pictures
"""

from __future__ import annotations

import argparse
import io
import shutil
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from vaegan.settings_io import load_yaml
from vaegan.studio.app import create_app
from vaegan.studio.registry import Registry
from vaegan.studio.server import address_of, bind, server_of

VIEWS = {
    "samples": "num=64",
    "image": "source=test:{example}&attributes={attributes}",
    "interpolate": "seed=4&x=0.6&y=0.4",
    "map": "points=2000&picked={example}",
    "training": "",
    "compare": "source=test:{example}",
}
WINDOWS = {"wide": (1240, 900), "narrow": (390, 844)}


def main() -> None:
    """Serve the runs, open each view of the first, and save a screenshot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders; screenshots show the first, those of Compare all")
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    parser.add_argument("--example", type=int, default=5, help="position of the held-out image to show")
    parser.add_argument("--attributes", default="smiling:1.5,hat:1", help="edits of that image, NAME:STRENGTH,...")
    options = parser.parse_args()
    registry = Registry(options.runs, [load_yaml(Path(run) / "config.yaml").data for run in options.runs])
    listening = bind("127.0.0.1", 0)
    server = server_of(create_app(registry))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for scheme in ("light", "dark"):
                for size, (width, height) in WINDOWS.items():
                    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                    for view, template in VIEWS.items():
                        query = template.format(example=options.example, attributes=options.attributes)
                        page.goto("about:blank")
                        page.goto(f"{address_of(listening, '127.0.0.1')}#view={view}&{query}")
                        save_screenshot(page, options.out / f"{view}-{scheme}-{size}.png")
            browser.close()
    finally:
        server.should_exit = True
        thread.join()
        registry.batcher.close()


def save_screenshot(page: Page, path: Path) -> None:
    """Save a screenshot once everything has loaded."""
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)  # for the drawing of the last response
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
