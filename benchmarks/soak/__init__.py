"""Connects and disconnects for as long as you like, and what they leave behind."""
