"""Feature extractors: networks in whose features images are compared."""
