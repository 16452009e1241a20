"""What is made of measurements: intervals, comparisons, tables, pictures."""
