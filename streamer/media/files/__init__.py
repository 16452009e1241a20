"""Sound and pictures from files and into them."""
