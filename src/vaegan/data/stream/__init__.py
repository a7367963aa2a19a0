"""Images streamed from .tar shards, local or remote, which are fetched as they are needed and never all decoded."""
