"""LFW: 13,233 images of 5,749 people, 250 x 250 pixels (Huang et al., UMass TR 07-49, 2007), with 73 attributes.

The attributes are decision values of classifiers (Kumar et al., ICCV 2009): the larger, the stronger; 90 images have
none. 10 % of the people are held out, by a hash of the name, so no person is on both sides of the split. Images are
centre-cropped to 150 x 150 pixels, as in the code of Larsen et al. (lfw_aegan.py). The checksum is that in
torchvision's source; none was published for the attributes.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...files import read_bytes
from ...settings import DataSettings
from ..dataset import Collection, hashed_split
from ..downloads import download, find, root_of, unpacked
from ..folder import list_folder

SIZE = 64
CROP = 150
_HELD_OUT = 0.1
_BELOW = ("", "lfw", "lfw-py")
_FOLDERS = {"lfw-deepfunneled.tgz": "lfw-deepfunneled", "lfw-funneled.tgz": "lfw_funneled", "lfw.tgz": "lfw"}
_CHECKSUM = "md5:68331da3eb755a505a502b5aacb3c201"  # of lfw-deepfunneled.tgz
_ATTRIBUTES = "lfw_attributes.txt"
_URL = "http://vis-www.cs.umass.edu/lfw"
_ATTRIBUTES_URL = "https://www.cs.columbia.edu/CAVE/databases/pubfig/download"


def list_lfw(settings: DataSettings) -> Collection:
    """List the images, the best aligned version there is, and their attributes."""
    root = root_of("lfw", settings)
    folder, table = _find_images(root), find(root, _BELOW, [_ATTRIBUTES])
    table = table or download("lfw", _ATTRIBUTES, None, root, urls=(_ATTRIBUTES_URL,))
    collection = list_folder(folder)
    people = [re.sub(r"_\d+$", "", Path(name).stem) for name in collection.names]
    attributes, attribute_names = read_attributes(table, collection.names)
    return replace(
        collection,
        name="lfw",
        split=hashed_split(people, _HELD_OUT),
        labels=None,
        label_names=(),
        attributes=attributes,
        attribute_names=attribute_names,
        defaults={"size": SIZE, "crop_size": CROP if settings.is_square else None},
    )


def _find_images(root: Path) -> Path:
    """Return the folder of people, unpacked or downloaded if missing."""
    for name, below in itertools.product(_FOLDERS.values(), _BELOW):
        if any((root / below / name).rglob("*_0001.jpg")):
            return root / below / name
    archive = find(root, _BELOW, list(_FOLDERS))
    archive = archive or download("lfw", "lfw-deepfunneled.tgz", _CHECKSUM, root, urls=(_URL,))
    return unpacked(archive, _FOLDERS[archive.name])


def read_attributes(path: Path, names: Sequence[str]) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read the attributes of the images ``names``, such as ``Aaron_Eckhart/Aaron_Eckhart_0001.jpg``, as `(N, A)`.

    The file is separated by tabs; lines that start with # come first, the last of them names the columns: person (with
    blanks), imagenum, attributes. The names of the A columns are returned, too.
    """
    try:
        lines = read_bytes(path).decode().splitlines()
        headers = [line.lstrip("#").strip().split("\t") for line in lines if line.startswith("#")]
        columns = tuple(headers[-1][2:]) if headers else ()
        rows = {Path(name).stem: i for i, name in enumerate(names)}
        attributes = np.full((len(names), len(columns)), np.nan, np.float32)
        for line in lines:
            if not line.startswith("#") and line.strip():
                person, number, *values = line.split("\t")
                row = rows.get(f"{person.replace(' ', '_')}_{int(number):04}")
                if row is not None:
                    attributes[row] = np.array(values, np.float32)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not the published table ({error}); download it again") from error
    if not columns or np.isnan(attributes).all():
        raise UserError(f"{path}: names no attributes, or none of the images; download it again")
    return attributes, columns
