"""Graphs made ready for compilers, and inputs to try them with."""
