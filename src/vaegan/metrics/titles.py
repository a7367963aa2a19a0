"""What each figure is called where people read it."""

from __future__ import annotations

_TITLES = {
    "frechet_distance": "Fréchet distance",
    "frechet_ratio": "Fréchet distance, times that of real images",
    "kernel_distance": "kernel distance",
    "missing_labels": "labels missing",
    "rarest_share": "share of the rarest label",
    "label_divergence": "divergence of labels, nats",
    "sharpness": "sharpness (variance of the Laplacian)",
    "gradient": "length of gradients",
    "copies_nearer": "nearer to training images than 95 % of held-out ones",
    "copies_farther": "farther from training images than held-out ones",
    "copies_score": "the same in standard deviations of chance",
    "mse": "squared error of a pixel",
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "feature_distance": "squared error of a feature",
    "nll": "E −log p(x|z), nats",
    "kl": "KL to N(0, I), nats",
    "elbo": "ELBO, nats",
    "importance_bound": "bound of 64 draws, nats",
    "bits_per_dimension": "bits a pixel and channel",
    "pixel_deviation": "deviation of a pixel",
    "active_units": "dimensions used",
    "gap_kl": "all codes to N(0, I): KL of Gaussians, nats",
    "gap_sliced": "all codes to N(0, I): sliced distance",
    "gap_by_chance": "the same by chance",
    "linear_probe": "labels read off by a linear probe",
    "neighbour_probe": "labels read off by neighbours",
    "probe_chance": "the most frequent label",
    "training_seconds": "time of training",
    "images_per_second": "images a second in training",
    "images_seen": "images seen",
    "training_operations": "operations an image in training",
    "reconstruction_operations": "operations a reconstruction",
    "sample_operations": "operations a sample",
}


def title_of(name: str) -> str:
    """Return what a figure is called; one that is not known here by its own name."""
    return _TITLES.get(name, name.replace("_", " "))
