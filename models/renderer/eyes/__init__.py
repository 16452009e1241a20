"""Eyes, lashes and the frames of glasses."""
