"""What a photo is cut into: person, background, glasses, lids."""
