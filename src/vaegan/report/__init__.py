"""Pictures and files out of tensors and records; knows arrays, not models."""
