"""The virtual presenter: microphone or script in, virtual camera and microphone out."""
