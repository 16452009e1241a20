"""Sessions and their viewers."""
