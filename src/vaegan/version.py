"""The version, in a module of its own so that no file has to import the package's door for it."""

__version__ = "0.1.0"
