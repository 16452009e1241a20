"""The only room that touches aiortc's and aioice's own names."""
