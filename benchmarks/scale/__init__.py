"""A fleet too large to run here, simulated event by event from what was measured of one machine."""
