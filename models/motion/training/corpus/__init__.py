"""Speech with exact phones: texts, voices, alignment, augmentation."""
