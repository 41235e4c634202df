"""Find images of one and the same radiograph."""
