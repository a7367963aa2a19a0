"""Models for others: what is said of one (its card), and the Hugging Face hub."""

from .card import Facts, write_card
from .hub import download_model, upload_folder
from .public_facts import Shared, read_run

__all__ = ["Facts", "Shared", "download_model", "read_run", "upload_folder", "write_card"]
