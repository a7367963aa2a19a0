"""What can be asked for, a file per subject; every path starts with /api/models."""
