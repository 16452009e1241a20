"""Rooms in which people meet behind their avatars."""
