"""Figures: the shape of a measured number, and the registry of all of them.

The registry says once what each figure is called, which way is better, in what unit it is written, and which tables
show it. JSON files use its names, people read its titles.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """A number with its interval of 95 %; NaN or infinite where there is none, which is null in JSON."""

    value: float  # of what was measured
    low: float = math.nan  # lower bound of the interval, NaN if unknown
    high: float = math.nan  # upper bound, NaN if unknown
    num: int | None = None  # images, or other things, that were measured
    seed: int | None = None  # of samples, choice of images and resampling

    def __truediv__(self, number: float) -> "Figure":
        """Return value and bounds divided by a positive number."""
        return Figure(self.value / number, self.low / number, self.high / number, self.num, self.seed)

    def as_json(self) -> dict[str, Any]:
        """Return all fields by name."""
        return {name: finite_or_none(number) for name, number in asdict(self).items()}

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> "Figure":
        """Return a figure from what `as_json` returned."""
        value, low, high = (math.nan if json[name] is None else json[name] for name in ("value", "low", "high"))
        return cls(value, low, high, json["num"], json["seed"])


Figures = dict[str, Figure]
"""Figures by name."""


def finite_or_none(number: float | None) -> float | None:
    """Return a number as JSON has it: None for NaN and infinity."""
    return number if number is not None and math.isfinite(number) else None


def plain(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{value:.4g}"


Better = Literal["low", "high", "real"]
"""Which way is better: lower, higher, or nearer to real images."""
BETTER: dict[Better | None, str] = {"low": "lower", "high": "higher", "real": "closer to real data", None: ""}
Unit = Literal["", "s", "FLOPs", "count"]
"""How a number is written: with four digits, as a duration, as 1.25 G, or as a whole number."""
SHARE_OF = "share of "
"""Start of the name of a label's share among samples; there is one for each label, which tables leave out."""

GROUPS = {
    "yardstick": "real-data baseline",
    "samples": "samples",
    "reconstructions": "reconstructions",
    "likelihood": "likelihood",
    "codes": "codes",
    "cost": "cost",
}
"""What figures are measured on: names in JSON, and titles."""


@dataclass(frozen=True)
class FigureInfo:
    """A row of the registry."""

    name: str  # in JSON
    title: str  # for people
    better: Better | None = None  # which way is better, None where neither is
    unit: Unit = ""  # how its numbers are written
    summary: tuple[str, ...] = ()  # groups whose short table shows it
    card: tuple[str, ...] = ()  # groups whose table on a model card shows it


_IMAGES = ("samples", "reconstructions")
_SAMPLES, _RECONSTRUCTIONS, _LIKELIHOOD, _CODES, _COST = (
    (name,) for name in ("samples", "reconstructions", "likelihood", "codes", "cost")
)
_REGISTRY = (
    FigureInfo("frechet_distance", "Fréchet distance", "low", summary=_IMAGES, card=_IMAGES),
    FigureInfo("frechet_ratio", "Fréchet distance / real-data baseline", "low", card=_SAMPLES),
    FigureInfo("kernel_distance", "kernel distance", "low"),
    FigureInfo("precision", "precision", "high", card=_SAMPLES),
    FigureInfo("recall", "recall", "high", card=_SAMPLES),
    FigureInfo("density", "density", "real"),
    FigureInfo("coverage", "coverage", "high", summary=_SAMPLES, card=_SAMPLES),
    FigureInfo("missing_labels", "missing labels", "low", card=_SAMPLES),
    FigureInfo("rarest_share", "share of the rarest label", "real", summary=_SAMPLES, card=_SAMPLES),
    FigureInfo("label_divergence", "KL(sample labels || data labels), nats", "low"),
    FigureInfo("feature_distance", "feature MSE", "low", summary=_RECONSTRUCTIONS),
    FigureInfo("mse", "per-pixel MSE", "low", summary=_RECONSTRUCTIONS, card=_RECONSTRUCTIONS),
    FigureInfo("mse_edges", "per-pixel MSE, at edges", "low"),
    FigureInfo("mse_smooth", "per-pixel MSE, in smooth areas", "low"),
    FigureInfo("psnr", "PSNR, dB", "high", summary=_RECONSTRUCTIONS, card=_RECONSTRUCTIONS),
    FigureInfo("ssim", "SSIM", "high", summary=_RECONSTRUCTIONS, card=_RECONSTRUCTIONS),
    FigureInfo("lpips", "LPIPS", "low", summary=_RECONSTRUCTIONS, card=_RECONSTRUCTIONS),
    FigureInfo("frechet_inception", "Fréchet distance, Inception (rFID)", "low", summary=_RECONSTRUCTIONS),
    FigureInfo("sharpness", "sharpness (variance of the Laplacian)", "real", summary=_IMAGES, card=_IMAGES),
    FigureInfo("gradient", "mean gradient magnitude", "real"),
    FigureInfo("copies_nearer", "memorisation rate (0.05 without memorisation)", card=_SAMPLES),
    FigureInfo("copies_farther", "memorisation AUC (0.5 without memorisation)"),
    FigureInfo("copies_score", "memorisation score, in standard deviations (below -3: memorised)"),
    FigureInfo("nearest_sample", "median distance to the nearest neighbour, samples"),
    FigureInfo("nearest_held_out", "median distance to the nearest neighbour, held-out images"),
    FigureInfo("accuracy", "matched accuracy", "high"),
    FigureInfo("nmi", "NMI", "high"),
    FigureInfo("ari", "ARI", "high"),
    FigureInfo("purity", "purity", "high"),
    FigureInfo("nll", "E[-log p(x|z)], nats"),
    FigureInfo("kl", "KL to N(0, I), nats"),
    FigureInfo("elbo", "ELBO, nats", "high", card=_LIKELIHOOD),
    FigureInfo("importance_bound", "importance-weighted bound, nats", "high", card=_LIKELIHOOD),
    FigureInfo("bits_per_dimension", "bits per dimension", "low"),
    FigureInfo("pixel_deviation", "pixel standard deviation"),
    FigureInfo("active_units", "active dimensions", card=_LIKELIHOOD),
    FigureInfo("gap_kl", "aggregate posterior to N(0, I): KL of Gaussians, nats"),
    FigureInfo("gap_sliced", "aggregate posterior to N(0, I): sliced Wasserstein"),
    FigureInfo("gap_by_chance", "two draws from N(0, I): sliced Wasserstein (baseline)"),
    FigureInfo("linear_probe", "label accuracy, linear probe", "high", card=_CODES),
    FigureInfo("neighbour_probe", "label accuracy, nearest neighbours", "high"),
    FigureInfo("probe_chance", "label accuracy, most frequent label"),
    FigureInfo("training_seconds", "training time", "low", "s", summary=_COST),
    FigureInfo("images_per_second", "images/s in training", "high", "count"),
    FigureInfo("images_seen", "images seen", unit="count"),
    FigureInfo("training_operations", "FLOPs per image, training", unit="FLOPs", summary=_COST),
    FigureInfo("reconstruction_operations", "FLOPs per image, reconstruction", unit="FLOPs"),
    FigureInfo("sample_operations", "FLOPs per image, sample", unit="FLOPs"),
    FigureInfo("encoder_parameters", "encoder parameters", unit="count"),
    FigureInfo("decoder_parameters", "decoder parameters", unit="count"),
    FigureInfo("discriminator_parameters", "discriminator parameters", unit="count"),
    # Table 2 of the paper: the image with the highest cosine of several, and means over all of them.
    FigureInfo("attributes/cosine", "cosine, best image", "real"),
    FigureInfo("attributes/centred_cosine", "centred cosine, best image", "real"),
    FigureInfo("attributes/mse", "attribute MSE, best image", "real"),
    FigureInfo("attributes/mean_cosine", "cosine, mean", "real"),
    FigureInfo("attributes/mean_centred_cosine", "centred cosine, mean", "real"),
    FigureInfo("attributes/mean_mse", "attribute MSE, mean", "real"),
    FigureInfo("reconstruction_mse", "per-pixel MSE, reconstructions", "low"),
    FigureInfo("reconstruction_sharpness", "sharpness, reconstructions", "real"),
    FigureInfo("sample_sharpness", "sharpness, samples", "real"),
)
_BY_NAME = {info.name: info for info in _REGISTRY}


def info_of(name: str, group: str = "") -> FigureInfo:
    """Return the registry's row of a figure; one that it lacks is called by its own name."""
    return _BY_NAME.get(f"{group}/{name}") or _BY_NAME.get(name) or FigureInfo(name, name.replace("_", " "))


def shown_in(table: Literal["summary", "card"], group: str) -> list[str]:
    """Return the names of a group's figures that a short table or a model card shows, in order."""
    return [info.name for info in _REGISTRY if group in getattr(info, table)]


def prior_in_words(prior: str | None, evaluation: Mapping[str, Any]) -> str:
    """Return a prior's name with its guidance in what `evaluate` returned, such as 'flow, guidance 2'."""
    guidance = evaluation.get("guidance", {}).get(prior)
    return f"{prior}, guidance {guidance:g}" if guidance is not None else str(prior)


def as_json(figures: Mapping[str, Figure]) -> dict[str, dict[str, Any]]:
    """Return figures by name as JSON."""
    return {name: figure.as_json() for name, figure in figures.items()}


def from_json(numbers: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Return figures by name from what `as_json` returned."""
    return {name: Figure.from_json(number) for name, number in numbers.items()}
