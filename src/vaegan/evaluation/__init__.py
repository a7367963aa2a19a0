"""Evaluation: all metrics of a model on a data set, and comparison of several models."""
