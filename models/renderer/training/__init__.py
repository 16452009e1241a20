"""How the renderer's networks are trained."""
