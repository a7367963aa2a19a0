"""What the page shows besides views of a run: attribute-conditional samples (section 4.2), and which attributes.

Images are numbers `(..., H, W, C)` of the data's type, still to be shown. Models side by side share codes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..data.dataset import ImageSet
from ..models import Model
from ..pixels import Numbers

OF_PAPER = (
    "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Bushy_Eyebrows", "Eyeglasses", "Gray_Hair", "Heavy_Makeup",
    "High_Cheekbones", "Male", "Mustache", "Pale_Skin", "Rosy_Cheeks", "Smiling", "Straight_Hair", "Wavy_Hair",
    "Wearing_Lipstick", "Young",
)  # fmt: skip
"""Attributes that the paper shows."""
MAX_ATTRIBUTES = 18

Named = dict[str, Numbers]
"""Images `(N, H, W, C)` of each model by its name."""


def attributes_to_show(images: ImageSet) -> list[str]:
    """Return names of attributes to show: the paper's first, then others, those of two values first."""
    num_values = _num_values(images)
    varying = [name for name, num in num_values.items() if num > 1]
    of_paper = {plain_name(name) for name in OF_PAPER}
    return sorted(varying, key=lambda name: (plain_name(name) not in of_paper, num_values[name] != 2))[:MAX_ATTRIBUTES]


def conditional_samples(models: Mapping[str, Model], images: ImageSet, seed: int) -> Named:
    """Return a sample of each model for the attributes of each of these images, from the same codes of N(0, I)."""
    return {
        name: model.pixels.from_unit(model.sample(len(images), seed, "normal", condition=model.condition_of(images)))
        for name, model in models.items()
    }


def single_attributes(
    model: Model, images: ImageSet, names: Sequence[str], seed: int, training_images: ImageSet
) -> Numbers:
    """Return `(2 R, A, H, W, C)`: for the attributes of each of R images, each attribute at its lowest, then highest.

    All other attributes, and the code of each of the R, stay the same. Of an attribute that has two values in the
    training images, these are lowest and highest; of any other the 5 % and 95 % quantiles of the examples saved with
    the model, so that one outlier decides nothing.
    """
    condition = model.condition_of(images)
    conditioning = model.conditioning
    assert condition is not None
    assert conditioning is not None
    codes = model.sample_codes(len(images), seed, "normal")
    ends = conditioning.in_turn(len(conditioning.examples)).quantile(torch.tensor([0.05, 0.95]), dim=0)
    num_values = _num_values(training_images)
    columns = [conditioning.names.index(name) for name in names]
    c = condition[:, None, None].repeat(1, 2, len(names), 1)
    for place, column in enumerate(columns):
        is_binary = num_values[conditioning.names[column]] == 2
        c[:, :, place, column] = torch.tensor([-1.0, 1.0]) if is_binary else ends[:, column]
    z = codes[:, None, None].expand(-1, 2, len(names), -1)
    made = model.pixels.from_unit(model.decode(z.flatten(0, 2), condition=c.flatten(0, 2)))
    return made.reshape(2 * len(images), len(names), *made.shape[1:])


def _num_values(images: ImageSet) -> dict[str, int]:
    """Return how many different known values each attribute has, by its name."""
    assert images.attributes is not None
    columns = zip(images.attribute_names, images.attributes.T, strict=True)
    return {name: len(np.unique(column[~np.isnan(column)])) for name, column in columns}


def plain_name(name: str) -> str:
    """Return the name of an attribute as words."""
    return name.replace("_", " ").lower()
