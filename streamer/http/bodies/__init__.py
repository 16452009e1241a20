"""What comes in and what goes out: schemas, forms, errors as answers."""
