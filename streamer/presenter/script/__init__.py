"""What is said without a microphone: scripts, voices, captions, slides."""
