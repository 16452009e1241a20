"""The face basis, fitted to a photo and brought to rest."""
