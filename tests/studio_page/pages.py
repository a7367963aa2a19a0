"""What tests do with a page, and how they see what it shows."""

from __future__ import annotations

import base64
import io
import time

import numpy as np
import torch
from PIL import Image

PATIENCE = 100.0  # seconds for what should come at once


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


def as_model_sees(photo) -> torch.Tensor:
    return torch.from_numpy(photo[1])[:, None].float() / 255


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
