"""Microphone → virtual camera and virtual microphone, on this machine's devices or stand-ins."""
