"""Watching over a run: the records that the checks of `health` look at, and a line when a state changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from .health import examine

log = logging.getLogger("vaegan")


class Watch:
    """The records since the last snapshot, all snapshots, and what was said last.

    Args:
        records: that the run has so far, in order.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self._window: list[Mapping[str, Any]] = []
        self._snapshots: list[Mapping[str, Any]] = []
        self._states: dict[str, str] = {}
        for record in records:
            self.add(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record."""
        if record["split"] == "train":
            self._window.append(record)
            return
        self._snapshots.append(record)
        self._window = []
        self._states |= {finding["check"]: finding["state"] for finding in record.get("health", ())}

    def look(self, snapshot: Mapping[str, Any]) -> list[dict[str, str]]:
        """Make the checks at a snapshot and log what has changed since the one before.

        Args:
            snapshot: its record, which is not taken in yet.

        Returns:
            The findings, for the record to hold under 'health'.
        """
        findings = examine(self._window, [*self._snapshots, snapshot])
        for finding in findings:
            before = self._states.get(finding.check, "ok")
            if finding.state == "ok" and before != "ok":
                log.info("health: %s is well again: %s", finding.check, finding.sentence)
            elif finding.state != before:
                log.warning("health: %s (%s): %s; %s", finding.check, finding.state, finding.sentence, finding.remedy)
        return [finding.as_json() for finding in findings]

    @property
    def has_begun(self) -> bool:
        """Whether there are any records."""
        return bool(self._snapshots or self._window)

    @property
    def worries(self) -> str:
        """The checks that are not well, in a few words such as ``kl bad, routes warn``; empty if all are."""
        return ", ".join(f"{check} {state}" for check, state in self._states.items() if state != "ok")
