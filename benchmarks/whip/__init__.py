"""From a WHIP publisher to a WHEP viewer: the first picture."""
