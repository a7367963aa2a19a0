"""Is the training well? Checks in plain words, pure functions of what metrics.jsonl recorded, each with what to change.

A check looks at the records since the snapshot before (a *window*) or at figures of snapshots, and says 'ok', 'warn' or
'bad'. It gives None where it does not apply, such as the discriminator's of a VAE. The first `FIRST_IMAGES` images are
not judged: weights fresh from the initialisation look like any sickness.

Watching over a run: the records that the checks of `health` look at, and a line when a state changes.

Figures of a snapshot that the checks of `health` look at.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..config import PARTS
from ..losses import kl_per_dimension
from ..models import Model
from ..pixels import to_unit
from .loop import Trainer

State = Literal["ok", "warn", "bad"]
Records = Sequence[Mapping[str, Any]]
FIRST_IMAGES = 1000
DEAD_NATS = 0.01
"""A dimension of the code whose KL is below tells nothing: of 100 images it sets apart e^0.01 = 1.01 kinds."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name, a word or two.
        state: 'ok', 'warn' or 'bad'.
        sentence: what is seen, with figures.
        remedy: what to change, naming the setting; empty if all is well.
    """

    check: str
    state: State
    sentence: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Plain words, as a record holds them."""
        return asdict(self)


def examine(window: Records, snapshots: Records) -> list[Finding]:
    """Make all checks that apply.

    Args:
        window: records of split 'train' since the snapshot before the last.
        snapshots: records of split 'start' and 'test', the last one now.
    """
    if not window or window[-1]["images"] < FIRST_IMAGES:
        return []
    found = [check(window, snapshots) for check in CHECKS]
    return [finding for finding in found if finding is not None]


def check_discriminator(window: Records, snapshots: Records) -> Finding | None:
    """Whether one side of the game runs away: how many pairs of real and fake the discriminator tells apart.

    Above 0.98 for every kind of fakes hardly an image deceives it, above 0.995 with logits 8 nats apart the minimax
    gradient that reaches the decoder, D(x_p), is down to a few hundredths and the saturated logits teach nothing. Below
    0.52 for every kind it does no better than chance (the means of 50 records of 64 images are off by 0.01), and below
    0.4 it is worse than chance: the decoder drives it before itself.
    """
    accuracy = _means(window, "discriminator/accuracy-")
    logits = _means(window, "discriminator/logit-")
    if not accuracy:
        return None
    gap = logits["real"] - max(logits[kind] for kind in accuracy)
    told = " and ".join(f"{share:.1%} of {_KINDS[kind]}" for kind, share in accuracy.items())
    sentence = f"the discriminator tells {told} from real images, logits {gap:.2g} apart"
    if min(accuracy.values()) > 0.98:
        state: State = "bad" if min(accuracy.values()) > 0.995 and gap > 8 else "warn"
        remedy = "lower --optim.discriminator-lr, or raise --loss.r1-weight or --loss.label-smoothing"
        return Finding("discriminator", state, f"{sentence}: it is winning, and little reaches the decoder", remedy)
    if max(accuracy.values()) < 0.52:
        state = "bad" if max(accuracy.values()) < 0.4 else "warn"
        remedy = "raise --optim.discriminator-lr, or lower --loss.adversarial-weight"
        return Finding("discriminator", state, f"{sentence}: it is losing, and has nothing to teach", remedy)
    return Finding("discriminator", "ok", sentence)


def check_kl(window: Records, snapshots: Records) -> Finding | None:
    """Whether the code says anything, and no more than the prior can follow: KL of held-out images.

    With less than 1 nat a code sets fewer than e = 2.7 kinds of images apart, with less than 0.1 nothing: the decoder
    does without. More than 5 nats in a dimension, on average, is noise of e^-5 of the prior's width or a mean far
    outside of it; from 10 on the model is an autoencoder, with codes that N(0, I) never hits. While the KL weight
    still rises, a high KL is meant.
    """
    units = _units(window, snapshots)
    if not units:
        return None
    kl, per_unit = units["kl"], units["kl"] / units["of"]
    sentence = f"codes of held-out images carry {kl:.3g} nats"
    if kl < 1.0:
        remedy = "lower --loss.kl-weight, let it rise (--loss.kl-schedule linear), or set --loss.free-bits 0.1"
        told = f"{sentence}: they tell the decoder next to nothing"
        return Finding("kl", "bad" if kl < 0.1 else "warn", told, remedy)
    rises = window[0].get("kl_factor", 1.0) < window[-1].get("kl_factor", 1.0)
    if per_unit > 5.0 and not rises:
        told = f"{sentence}, {per_unit:.3g} in a dimension: they lie where the prior is not"
        return Finding("kl", "bad" if per_unit > 10.0 else "warn", told, "raise --loss.kl-weight")
    return Finding("kl", "ok", sentence)


def check_units(window: Records, snapshots: Records) -> Finding | None:
    """Whether dimensions of the code lie idle: those whose mean KL is below `DEAD_NATS`.

    Some idle ones only mean that there are more than these images need; with over half of them idle, a smaller code
    does the same, and with over nine tenths something keeps the code from being used.
    """
    units = _units(window, snapshots)
    if not units:
        return None
    share = units["dead"] / units["of"]
    sentence = f"{units['dead']} of {units['of']} dimensions of the code are idle"
    if share <= 0.5:
        return Finding("units", "ok", sentence)
    remedy = "lower --model.latent-dim or --loss.kl-weight, or set --loss.free-bits 0.1"
    return Finding("units", "bad" if share > 0.9 else "warn", sentence, remedy)


def check_routes(window: Records, snapshots: Records) -> Finding | None:
    """Whether both losses reach the decoder: lengths of the gradients of gamma L_llike and of L_adv at its images.

    Adam takes away any common factor, so their ratio counts. At 1 : 100 the smaller one turns the sum by half a degree,
    at 1 : 1000 it is lost in the noise of the larger one. A route that is exactly 0 was turned off by a setting.
    """
    adversarial = math.hypot(*_means(window, "decoder/adversarial-").values())
    llike = _means(window, "decoder/").get("llike", 0.0)
    if not adversarial or not llike:
        return None
    ratio = llike / adversarial
    sentence = f"at the decoder, gamma L_llike is {ratio:.2g} times the adversarial gradient"
    if 0.01 <= ratio <= 100:
        return Finding("routes", "ok", sentence)
    state: State = "warn" if 0.001 <= ratio <= 1000 else "bad"
    held = "or hold both in balance with --loss.balance 1"
    if ratio < 1:
        return Finding("routes", state, f"{sentence}: reconstructions teach it nothing", f"raise --loss.gamma, {held}")
    remedy = f"lower --loss.gamma, {held}"
    return Finding("routes", state, f"{sentence}: the discriminator teaches it nothing", remedy)


def check_modes(window: Records, snapshots: Records) -> Finding | None:
    """Whether samples leave labels out, as a classifier sees them.

    Warns where a label has less than half of its share of the held-out images, and calls it missing below a tenth.
    Looked at are labels of which at least 20 samples are expected, so that half of them is over 2 sigma away.
    """
    labels = snapshots[-1].get("labels")
    if not labels:
        return None
    num = sum(made for made, _ in labels.values())
    total = sum(real for _, real in labels.values())
    shares = {
        name: made / num / (real / total) for name, (made, real) in labels.items() if num and num * real >= 20 * total
    }
    if not shares:
        return None
    rarest = min(shares, key=lambda name: shares[name])
    sentence = f"the rarest label among samples is {rarest}, {shares[rarest]:.2g} times as frequent as in the data"
    if shares[rarest] >= 0.5:
        return Finding("modes", "ok", sentence)
    missing = [name for name, share in shares.items() if share < 0.1]
    told = f"samples leave out {', '.join(missing[:10])}" if missing else sentence
    remedy = "set --model.discriminator.minibatch-features 32, or raise --loss.r1-weight"
    return Finding("modes", "bad" if missing else "warn", told, remedy)


def check_weights(window: Records, snapshots: Records) -> Finding | None:
    """Whether weights explode: how much a network's norm grew since the snapshot before, and since the start.

    In trainings that went well no part's weights grew to more than 5 times their first norm, most of it before the
    first snapshot. From there on 3 times in one interval, or 10 times in all, is out of line; 10 times in one or 100 in
    all is an explosion. What is no network, such as a variance that is learned as its logarithm, may begin at 0 and
    grow at will.
    """
    norms = [
        {part: norm for part, norm in record["weights"].items() if part in PARTS}
        for record in snapshots
        if record.get("weights")
    ]
    if len(norms) < 2:
        return None
    first, before, now = norms[0], norms[-2] if len(norms) > 2 else norms[-1], norms[-1]
    lately = {part: norm / before[part] for part, norm in now.items()}
    in_all = {part: norm / first[part] for part, norm in now.items()}
    worst = max(now, key=lambda part: max(lately[part] / 3, in_all[part] / 10))
    sentence = f"weights of the {worst} are {in_all[worst]:.3g} times as long as at the start"
    if lately[worst] <= 3 and in_all[worst] <= 10:
        return Finding("weights", "ok", sentence)
    state: State = "bad" if lately[worst] > 10 or in_all[worst] > 100 else "warn"
    told = f"{sentence}, {lately[worst]:.3g} times as long as at the snapshot before"
    return Finding("weights", state, told, f"lower --optim.{worst}-lr, or set --optim.clip 1")


CHECKS: tuple[Callable[[Records, Records], Finding | None], ...] = (
    check_discriminator, check_kl, check_units, check_routes, check_modes, check_weights,
)  # fmt: skip
_KINDS = {"prior": "samples", "reconstruction": "reconstructions"}


def _units(window: Records, snapshots: Records) -> Mapping[str, Any] | None:
    """Figures of the code's dimensions, where the encoder is being trained to a prior (in pre-training it is not)."""
    return snapshots[-1].get("units") if "kl" in window[-1]["losses"].get("encoder", {}) else None


def _means(window: Records, prefix: str) -> dict[str, float]:
    """Mean over the records of each route whose name begins with ``prefix``, by the rest of its name."""
    values: dict[str, list[float]] = {}
    for record in window:
        for name, value in record.get("routes", {}).items():
            if name.startswith(prefix):
                values.setdefault(name.removeprefix(prefix), []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}


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


MOST_IMAGES = 512


def weight_lengths(trainer: Trainer) -> dict[str, float]:
    """Length of all weights of each part."""
    return {part: float(norm) for part, norm in trainer.weight_norms().items()}


def unit_figures(model: Model, images: Tensor, c: Tensor | None = None) -> dict[str, float | int] | None:
    """How much the dimensions of the code say about held-out images.

    Args:
        model: whose encoder is asked, in evaluation.
        images: uint8 (N, H, W, C), of which the first `MOST_IMAGES` are used.
        c: conditions (N, A) of these images, for a conditional model.

    Returns:
        ``kl`` in nats per image, ``dead`` dimensions below `health.DEAD_NATS` on average, ``of`` how many; None without
        an encoder that gives a distribution.
    """
    if model.encoder is None or model.kind == "ae":
        return None
    condition = None if c is None else c[:MOST_IMAGES]
    mu, logvar = model.posterior(to_unit(images[:MOST_IMAGES]), condition=condition)
    nats = kl_per_dimension(mu, logvar).mean(0)
    return {"kl": float(nats.sum()), "dead": int(torch.sum(nats < DEAD_NATS)), "of": len(nats)}
