"""Drawing by OpenGL and without it, and the light."""
