"""The live system: media, sessions, HTTP and the command line."""

__version__ = "0.1.0"
