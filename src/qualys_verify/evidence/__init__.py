"""What a run leaves behind for a reader: one renderer a format."""
