"""What a source portrait lends: skin, eyes, hair and neck."""
