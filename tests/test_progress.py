"""What a person sees: plain lines without a terminal, a bar on one."""

from __future__ import annotations

import io
import logging
import sys

import pytest
import rich
from rich.console import Console

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
        shown.losses(RECORD)
    text = screen.getvalue()
    assert ("75%" in text) == speaks
    assert ("1,234 images/s" in text) == speaks
    assert ("enc kl 21.35" in text) == speaks
