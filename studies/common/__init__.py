"""Shared by the studies: runs, metrics, intervals and verdicts, results, charts, pages."""
