"""The cost of choosing a number format at the start of a training, of this version and of earlier ones.

    python benchmarks/number_format.py [--before FOLDER/src] [--recipes digits small-32 conv-64] [--limit 120]

Opens each recipe on a few drawn images and measures the time from opened data to the chosen number format, in a process
of its own; then one step of 32 images, for the expected time of the whole training. `--before` names the
`src` folder of another version, measured in turn; its processes are ended after `--limit` seconds. A CPU without bf16
is imitated by `ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2` in the environment.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

SHAPES = {"digits": (8, 1), "small-32": (32, 3), "conv-64": (64, 3)}
"""Size and channels of a recipe's images."""


def measure(name: str, folder: str) -> None:
    """Train until the choice is made; print it, its time, and that of the whole run, as JSON lines."""
    import torch

    from vaegan.recipes import config_for, named
    from vaegan.training import device, train

    size, channels = SHAPES[name]
    overrides = {"data.source": "shapes", "data.size": size, "data.channels": channels, "data.limit": 256}
    config = config_for(name, {**overrides, "data.cache": folder})
    images = round(config.train.epochs * named(name).num_images)
    config = config.model_copy(update={"train": config.train.model_copy(update={"images": images})})
    torch.optim.Adam([torch.zeros(1)])  # imports much, once; training does so anyway
    choose = device.choose_form

    def timed(precision: str, memory_format: str, make_step: Any, **more: Any) -> NoReturn:
        begin = time.perf_counter()
        form = choose(precision, memory_format, make_step, **more)
        print(json.dumps({"seconds": time.perf_counter() - begin, "form": " ".join(form)}), flush=True)
        takes_images = len(inspect.signature(make_step).parameters) == 3
        step = make_step(*form, 32) if takes_images else make_step(*form)
        step()
        begin = time.perf_counter()
        step()
        print(json.dumps({"run": (time.perf_counter() - begin) / 32 * images}), flush=True)
        raise SystemExit

    for module in [module for path, module in sys.modules.items() if path.startswith("vaegan.training.")]:
        if hasattr(module, "choose_form"):
            module.choose_form = timed  # type: ignore[attr-defined]
    train(config, Path(folder) / "run")


def in_process(name: str, source: str, limit: float) -> dict[str, float | str]:
    """Measure in a process of its own; without 'seconds' where the choice takes longer than the limit."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, __file__, "--measure", name, "--folder", folder]
        environment = {**os.environ, "PYTHONPATH": source}
        try:
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired as late:
            lines = (late.stdout or b"").decode()
        else:
            lines = done.stdout
            if done.returncode:
                sys.exit(done.stderr)
    return {key: value for line in lines.splitlines() if line[0] == "{" for key, value in json.loads(line).items()}


def main() -> None:
    """Measure recipes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="src folder of another version")
    parser.add_argument("--recipes", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--limit", type=float, default=120.0, help="seconds")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.folder)
        return
    here = str(Path(__file__).resolve().parent.parent / "src")
    print("| recipe | before, s | now, s | expected run, s | share of it | now uses |\n|---|---|---|---|---|---|")
    for name in options.recipes:
        before = in_process(name, str(options.before), options.limit) if options.before else {}
        now = in_process(name, here, 10 * options.limit)
        earlier = f"{before['seconds']:.2f}" if "seconds" in before else f"over {options.limit:.0f}"
        cost, run = float(now["seconds"]), float(now["run"])
        cells = name, earlier if options.before else "-", f"{cost:.2f}", f"{run:.4g}", f"{cost / run:.2%}", now["form"]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
