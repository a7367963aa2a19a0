"""A model and data in, figures out: the metrics put together."""
