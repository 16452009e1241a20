"""From untrusted bytes to a picture with landmarks, or a refusal."""
