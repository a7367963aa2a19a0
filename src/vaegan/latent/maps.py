"""Codes on a plane, for eyes: the two principal components, or t-SNE, which keeps neighbours together.

t-SNE (van der Maaten and Hinton 2008, "Visualizing data using t-SNE") says nothing by distances between groups, nor by
their sizes. It comes with the extra 'tsne' (openTSNE).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import UserError
from .cluster import principal_components


def pca_map(z: Tensor, seed: int = 0) -> Tensor:
    """Return places `(N, 2)` of codes `(N, Z)`: their two principal components (the seed changes nothing).

    Codes of one dimension, or a single code, have but one component: they lie on a line, with 0 as second coordinate.
    """
    places = principal_components(z, 2)
    return F.pad(places, (0, 2 - places.shape[1]))


def tsne_map(z: Tensor, seed: int = 0) -> Tensor:
    """Return places `(N, 2)` of codes `(N, Z)` by t-SNE.

    Raises:
        UserError: if openTSNE is not installed.
    """
    try:
        from openTSNE import TSNE
    except ImportError as error:
        raise UserError("t-SNE needs openTSNE: pip install 'vaegan[tsne]', or take the map pca") from error
    perplexity = min(30.0, max(1.0, (len(z) - 1) / 3))
    places = TSNE(perplexity=perplexity, random_state=seed).fit(z.cpu().double().numpy())
    return torch.tensor(places).float()


MAPS = {"pca": pca_map, "tsne": tsne_map}
"""Every map by its name; each takes codes and a seed."""
