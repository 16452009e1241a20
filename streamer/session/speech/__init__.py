"""Who speaks in a session: a microphone or a program, with sound and pictures for it."""
