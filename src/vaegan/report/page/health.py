"""How the training went, check by check: the last findings with what to change, and when each state changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Fold, Note, Section, Table

TEXT = (
    "Checks made at each snapshot, out of what was recorded since the one before: whether discriminator or decoder "
    "runs away, the code is used, both losses reach the decoder, samples hold every label, weights stay in bounds."
)
_STATES = {"ok": "well", "warn": "look", "bad": "bad"}


def health_section(records: Sequence[Mapping[str, Any]]) -> Section:
    """Return the last findings and the changes before, out of the records of `metrics.jsonl`."""
    looks = [record for record in records if record.get("health")]
    if not looks:
        return Section("Health", [Note("No checks are recorded: they begin at the first snapshot past 1,000 images.")])
    last = looks[-1]
    rows = [(f["check"], _STATES[f["state"]], f["sentence"]) for f in last["health"]]
    hints = [f["remedy"] for f in last["health"]]
    now = Table(f"After {last['images']:,} images.", ("check", "state", "what is seen"), rows, hints)
    return Section("Health", [now, Fold("History", [_changes(looks)])], TEXT)


def _changes(looks: Sequence[Mapping[str, Any]]) -> Table:
    """A row each time that a check's state changed, its first included."""
    states: dict[str, str] = {}
    rows, hints = [], []
    for record in looks:
        for f in record["health"]:
            if states.get(f["check"]) != f["state"]:
                rows.append((f["check"], f"{record['images']:,}", _STATES[f["state"]], f["sentence"]))
                hints.append(f["remedy"])
            states[f["check"]] = f["state"]
    return Table("Each change of a state.", ("check", "images seen", "state", "what was seen"), rows, hints)
