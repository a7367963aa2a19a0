"""Convolutions and layouts computed faster than PyTorch does, with the same results."""
