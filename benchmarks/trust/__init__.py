"""How far the watermark can be read, after what, and how often it is seen where it is not."""
