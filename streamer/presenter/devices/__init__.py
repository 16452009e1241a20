"""Cameras, microphones, loudspeakers and keys of this machine."""
