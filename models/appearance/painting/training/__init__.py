"""Trains what paints the inside of a mouth; needs torch."""
