"""Signals are noted, once, and the handlers are put back."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from vaegan.errors import Stopped
from vaegan.training import terminal
from vaegan.training.terminal import ECHO_SECONDS, StopRequest, stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as request:
        assert not request
        os.kill(os.getpid(), number)
        assert request
        assert request.number == number
    assert signal.getsignal(number) is before


def test_handlers_come_back_after_a_failure() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="ours"), stop_on_signals():
        raise RuntimeError("ours")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_ctrl_c_stops_at_once_an_echo_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    request = StopRequest()
    request.note(signal.SIGINT)
    now[0] += 0.5 * ECHO_SECONDS
    request.note(signal.SIGINT)
    now[0] += ECHO_SECONDS
    request.note(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        request.note(signal.SIGINT)
    assert request.number == signal.SIGINT


def test_in_another_thread_nothing_is_installed() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with stop_on_signals() as request:
            seen.append((bool(request), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_the_exit_code_is_that_of_a_process_ended_by_the_signal() -> None:
    stopped = Stopped(signal.SIGTERM)
    assert stopped.exit_code == 143
    assert str(stopped) == "stopped by SIGTERM"
    assert isinstance(stopped, KeyboardInterrupt)
