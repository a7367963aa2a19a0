"""Run folders: their files by name, where a model is, its records, and a run opened to look at."""
