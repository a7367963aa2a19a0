"""Routes of the API, a file per subject; every path starts with /api/models."""
