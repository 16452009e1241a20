"""How good the motion is."""
