"""How many sessions one machine holds."""
