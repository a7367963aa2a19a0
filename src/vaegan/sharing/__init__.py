"""Models for others: what is said of one (its card), and the Hugging Face hub."""
