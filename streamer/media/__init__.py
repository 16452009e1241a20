"""Sound in, packets out, on one media clock."""
