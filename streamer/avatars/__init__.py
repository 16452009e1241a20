"""Avatars: where they are kept and how one is made."""
