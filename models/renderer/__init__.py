"""Pose windows and an Identity become frames."""
