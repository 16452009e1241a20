"""What pictures and files carry of their origin, and how it is found in them again."""
