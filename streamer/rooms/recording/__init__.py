"""Recordings: consent, files, the shelf they lie on."""
