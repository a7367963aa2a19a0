"""Training that starts from another model (`init_from`): the settings that come from it, its weights part by part."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..errors import UserError
from ..kinds import ended_in_pretraining, refuse_without_effect
from ..recipes import YOUR_MODEL
from ..settings import PARTS, Architecture, ModelSettings
from ..settings_io import checked, load_yaml, setting_names, value_at, with_settings
from .locate import find_model
from .run_folder import SETTINGS

if TYPE_CHECKING:
    from ..models import Model

_SHARED = ("network", "latent", "latent_dim", "output", "condition")
_OF_CODES = ("normal_prior", "scale_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast")
"""Facts about a model that hold as long as its encoder is the same."""
_OF_CONDITION = ("offset", "scale", "mean")
"""How c follows from attributes, which stays the same when a model is trained further."""


def configured(base: Config, named: Mapping[str, Any], out: Path, *, overwrite: bool = False) -> Config:
    """Return `with_settings(base, named)`; where `init_from` is set, with the networks of that model, not pre-trained.

    A run in ``out`` that started from it has them in its settings, so resuming does not need the model. Raises
    UserError if there is no such model, it cannot be trained further, or a named setting contradicts its networks.
    """
    named = {name.replace("-", "_"): value for name, value in named.items()}
    start = named.get("init_from", base.init_from)
    if start in (None, YOUR_MODEL):
        return with_settings(base, named, typed=True)
    before = load_yaml(out / SETTINGS) if (out / SETTINGS).is_file() and not overwrite else None
    source: dict[str, Any] = {}
    own: dict[str, Any] = {}
    if before is not None and is_same_start(before.init_from, str(start)):
        names = [*setting_names(ModelSettings, "model."), "data.size", "data.channels", "train.pretrain_epochs"]
        values = {name: value_at(before.model_dump(), name) for name in names}
    else:
        source = _description_of(str(start), out)
        own = _networks_of(str(start), source, str(named.get("model.kind", base.model.kind)), base)
        values = own | {"train.pretrain_epochs": 0.0}
        if start == base.init_from:  # of a file of settings, which may say more of the networks
            said, default = base.model_dump(), Config().model_dump()
            values = {name: own[name] for name in own if value_at(said, name) == value_at(default, name)}
    for name in ("model.network", "model.latent"):  # before other settings contradict them
        if name in own and named.get(name, own[name]) != own[name]:
            raise _differs(name, own[name], named[name], start)
    config = with_settings(base, {**values, **named})
    refuse_without_effect(config, named)
    for name in own:
        now = value_at(config.model_dump(), name)
        if now != own[name] and not name.startswith("model.discriminator.") and not name.endswith(".dropout"):
            raise _differs(name, own[name], now, start)
    if source:
        _refuse_misfit(config, source, config.data.height_width)
    return config


def is_same_start(one: str | None, other: str | None) -> bool:
    """Whether two values of `init_from` name the same place."""
    if one is None or other is None:
        return one == other
    return os.path.abspath(one) == os.path.abspath(other)  # noqa: PTH100, resolve() follows links


def _differs(name: str, theirs: Any, now: Any, start: Any) -> UserError:
    option = name.replace("_", "-")
    return UserError(f"--{option} is {_word(theirs)} in --init-from {start}, not {_word(now)}; leave it out")


def check_named(config: Config) -> None:
    """Raise UserError if the recipe starts from a model, and none is named, or a file of weights is missing."""
    if config.init_from == YOUR_MODEL:
        raise UserError(f"{config.recipe} starts from a model; add --init-from diffusers:PATH or --init-from RUN")
    if (file := config.loss.perceptual_file) is not None and not file.exists():
        raise UserError(f"--loss.perceptual-file {file} does not exist; correct it, or leave it out")


def check_outside(out: Path, option: str, model: str | Path) -> None:
    """Raise UserError if a model that training starts from or compares with is in the folder of the new run."""
    if out.resolve() in ((folder := find_model(model).resolve()), *folder.parents):
        raise UserError(f"{option} {model} is in --out {out}, where the new model goes; choose another --out")


def _description_of(start: str, out: Path) -> dict[str, Any]:
    """Return kind and architecture of the model to start from, and more; UserError if its networks are not known."""
    from ..models.serialization import read_description

    check_outside(out, "--init-from", start)
    source = read_description(find_model(start))
    if source["architecture"] is None:
        raise UserError(f"--init-from {start} uses custom networks; fine-tune it in Python (docs/fine-tune.md)")
    return source


def _networks_of(start: str, source: Mapping[str, Any], kind: str, base: Config) -> dict[str, Any]:
    """Return the settings of the networks of a model that one of ``kind`` has too, and of the images they take."""
    from ..networks import PARTS_OF_KIND

    own, own_kind = checked(Architecture, source["architecture"]), source["kind"]
    parts = [part for part in PARTS_OF_KIND.get(kind, ()) if part in PARTS_OF_KIND[own_kind]]
    if "encoder" in parts and (kind == "ae") != (own_kind == "ae"):
        why = f"is of kind {own_kind}, whose encoder does not fit --model.kind {kind}"
        raise UserError(f"--init-from {start} {why}; choose another model or kind")
    data = base.data.for_shape(own.image_shape)
    values: dict[str, Any] = {"data.channels": data.channels}
    if own.latent == "vector":
        values["data.size"] = data.size
    names = [*_SHARED, *(f"{part}.{name}" for part in parts for name in type(getattr(own, part)).model_fields)]
    return values | {f"model.{name}": value_at(own.model_dump(), name) for name in names}


def _refuse_misfit(config: Config, source: Mapping[str, Any], size: Sequence[int] | None) -> None:
    """Raise UserError if a model of this kind and architecture takes no images `size`, or lacks a frozen part."""
    from ..networks import PARTS_OF_KIND, map_factor

    start, kind, architecture = config.init_from, config.model.kind, source["architecture"]
    factor, own_size = map_factor(architecture) or 1, architecture["image_shape"][1:]
    if size and list(size) != list(own_size) and any(side % factor for side in size):
        what = f"images whose sides are multiples of {factor}, not {size[0]}x{size[1]}"
        raise UserError(f"--init-from {start} takes {what}; choose another --data.size")
    for part in PARTS_OF_KIND[kind]:
        is_metric = kind == "vae-dis-l" and part == "discriminator"
        if config.is_frozen(part) and part not in PARTS_OF_KIND[source["kind"]] and not is_metric:
            raise UserError(f"--init-from {start} has no {part}; add {part} to --train.parts to train a new one")


def start_from(model: "Model", config: Config) -> Iterator[str]:
    """Load the weights of `init_from` into a new model; yield a line for each part that either has.

    How c follows from attributes is taken over and, if the encoder is frozen, the facts about its codes. Raises
    UserError if conditions differ, the source does not take images of this size, or an encoder, decoder or frozen part
    does not fit, or is a discriminator that was never trained.
    """
    from ..models import load

    start = config.init_from
    assert start is not None
    source = load(start)
    if getattr(source.conditioning, "names", ()) != getattr(model.conditioning, "names", ()):
        raise UserError(f"--init-from {start} was trained with other {config.model.condition}; choose another model")
    facts = facts_of_start(source)
    if config.model.kind == "vae-dis-l" and facts.get("condition") != facts_of_start(model).get("condition"):
        raise UserError(f"--init-from {start} and --loss.metric scale attributes differently; leave out --init-from")
    _refuse_misfit(config, {"kind": source.kind, "architecture": source.architecture}, model.image_shape[1:])
    for part in PARTS:
        ours, theirs = model.parts.get(part), source.parts.get(part)
        is_frozen = config.is_frozen(part)
        if ours is None or (part == "discriminator" and config.model.kind == "vae-dis-l"):
            if theirs is not None:
                yield f"{part} of {start}: left out"
            continue
        new, saved = ours.state_dict(), {} if theirs is None else theirs.state_dict()
        fits = {name: t.shape for name, t in new.items()} == {name: t.shape for name, t in saved.items()}
        if fits:
            if is_frozen and part == "discriminator" and ended_in_pretraining(source.info):
                what = "whose training ended in pre-training, has a discriminator that was never trained"
                raise UserError(f"--init-from {start}, {what}; add discriminator to --train.parts")
            ours.load_state_dict(saved)
            yield f"{part}: weights of {start}{', frozen' if is_frozen else ''}"
            continue
        why = f"has no {part}" if theirs is None else f"has other layers in its {part}"
        if theirs is not None and (is_frozen or part != "discriminator"):
            remedy = f"add {part} to --train.parts to train a new one" if is_frozen else "choose another model"
            raise UserError(f"--init-from {start} {why}; {remedy}")
        yield f"{part}: new weights; {start} {why}"
    keeps_codes = config.is_frozen("encoder")
    take_over(model, {name: fact for name, fact in facts.items() if keeps_codes or name not in _OF_CODES})


def facts_of_start(model: "Model") -> dict[str, Any]:
    """Return what `start_from` takes over besides weights: facts about a model's codes, its scaling of attributes."""
    facts = {name: model.info[name] for name in _OF_CODES if name in model.info}
    if c := model.conditioning:
        facts["condition"] = {name: list(getattr(c, name)) for name in _OF_CONDITION}
    return facts


def take_over(model: "Model", facts: Mapping[str, Any]) -> None:
    """Give a new model the `facts_of_start` of another; the examples of its condition stay those of its own data."""
    condition = {**model.info.get("condition", {}), **facts.get("condition", {})}
    model.info |= {**facts, "condition": condition} if condition else facts


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
