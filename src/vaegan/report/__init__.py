"""Pictures from arrays and records: grids, sheets, animations, charts, scatter plots. Knows no models."""
