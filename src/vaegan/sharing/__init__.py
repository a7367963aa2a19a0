"""Sharing models: the card, what of a run may be public, the Hugging Face hub."""
