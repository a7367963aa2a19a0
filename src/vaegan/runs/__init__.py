"""Run folders: the names of their files, where a model is, its records, and opened runs."""
