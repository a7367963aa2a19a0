"""What a person sees: plain lines without a terminal, a bar on one."""

from __future__ import annotations

import io
import logging
import sys

import pytest
import rich
from rich.console import Console

from vaegan import progress
from vaegan.cli.common import watched
from vaegan.training.terminal import describe, show_progress

LOSSES = {"encoder": {"kl": 21.345678, "llike": 40.0, "total": 61.3}, "discriminator": {"real": 0.41, "total": 1.0}}
RECORD = {"images": 12_800, "epoch": 1.25, "images_per_second": 1234.5, "losses": LOSSES}


def test_losses_in_a_few_words() -> None:
    assert describe(LOSSES) == "enc kl 21.35 llike 40 | dis real 0.41"


def test_a_snapshot_is_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, "vaegan"), show_progress(0, 100_000, speaks=True) as shown:
        shown.step(64)
        shown.losses(RECORD)
        shown.line(RECORD, 100_000)
    wanted = "12,800 of 100,000 images, epoch 1.25, 1,234 images/s: enc kl 21.35 llike 40 | dis real 0.41"
    assert [record.getMessage() for record in caplog.records] == [wanted]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("speaks", [True, False])
def test_between_distant_snapshots_a_line_says_how_fast_and_how_long(
    speaks: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with caplog.at_level(logging.INFO, "vaegan"), show_progress(1_000, 25_000, speaks=speaks) as shown:
        for images, now in ((1_600, 129.9), (1_640, 132.0), (2_000, 150.0)):  # noqa: B007, the clock reads it
            shown.step(images)
        now = 160.0
        shown.line(RECORD, 100_000)
        for images, now in ((2_400, 170.0), (2_780, 189.0), (2_840, 192.0)):  # noqa: B007
            shown.step(images)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("training")]
    wanted = [
        "training: 1,640 of 25,000 images, 20 images/s, 19 min 28 s left",
        "training: 2,840 of 25,000 images, 20 images/s, 18 min 28 s left",
    ]
    assert lines == (wanted if speaks else [])


def test_slow_work_of_commands_is_not_silent_either(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, "vaegan"):
        assert list(watched(iter("abcd"), 4, "encoding")) == list("abcd")
    assert caplog.messages == [
        "encoding: 2 of 4 steps, 0.05 steps/s, 40 s left",
        "encoding: 4 of 4 steps, 0.05 steps/s, 0 s left",
    ]
    assert capsys.readouterr().out == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("speaks", [True, False])
def test_a_bar_on_a_terminal_of_the_process_that_speaks(speaks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(rich, "get_console", lambda: Console(file=screen, force_terminal=True, width=120))
    with show_progress(50_000, 100_000, speaks=speaks) as shown:
        shown.step(75_000)
        shown.losses({**RECORD, "phase": "vae"})
    text = screen.getvalue()
    assert ("75%" in text) == speaks
    assert ("VAE, 1,234 images/s" in text) == speaks
    assert ("enc kl 21.35" in text) == speaks
