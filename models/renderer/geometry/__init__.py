"""Coefficients to vertices."""
