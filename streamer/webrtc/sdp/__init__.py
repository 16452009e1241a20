"""Offers and fragments: checked, and put into the words of aiortc."""
