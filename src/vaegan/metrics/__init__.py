"""Metrics: images, features or codes in, numbers out."""
