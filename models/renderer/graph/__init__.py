"""The frame as one graph of standard operators, for machines with a GPU."""
