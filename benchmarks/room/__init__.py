"""``visavis bench room``: several people in one call."""
