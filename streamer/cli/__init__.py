"""Command lines: what is typed, what is printed; the work is in ``commands``."""
