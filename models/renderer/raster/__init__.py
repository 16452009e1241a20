"""Compiled loops that draw meshes and smooth their edges."""
