"""Packets out and the reports about them."""
