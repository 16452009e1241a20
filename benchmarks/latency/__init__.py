"""Mouth to lip in a real browser."""
