"""How the networks that light the mouth are trained: pairs, losses, trainer, graphs."""
