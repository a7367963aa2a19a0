from __future__ import annotations

import numpy as np
import torch

from vaegan.data.dataset import ImageSet
from vaegan.latent.clustering import Clusters
from vaegan.pixels import Shown
from vaegan.views.clusters import cluster_gallery, cluster_names

# Six points on a line; two clusters around 0 and 10, a third that is empty.
CLUSTERS = Clusters(
    torch.tensor([0, 1, 0, 0, 1, 0]), torch.tensor([[0.0], [10.0], [5.0]]), torch.tensor([3.0, 1, 1, 2, 0, 4])
)
LABELS = np.array([1, 0, 1, 1, 0, 0])


def test_the_nearest_come_first_and_what_is_left_over_is_blank():
    images = ImageSet(np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1), list("abcdef"))
    view = cluster_gallery(images, CLUSTERS, 3, Shown(images.pixels))
    assert view.images[..., 0, 0, 0].tolist() == [[2, 3, 0], [4, 1, 255], [255, 255, 255]]


def test_names_tell_size_and_most_frequent_label():
    assert cluster_names(CLUSTERS, LABELS, ("cat", "dog")) == [
        "0: 4 images, 75% “dog”",
        "1: 2 images, 100% “cat”",
        "2: 0 images",
    ]
    assert cluster_names(CLUSTERS, None, ()) == ["0: 4 images", "1: 2 images", "2: 0 images"]
