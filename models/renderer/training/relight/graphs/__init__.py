"""Networks and the graphs that are written of them."""
