"""A file of labels in, one label an item out, and how far to trust it."""
