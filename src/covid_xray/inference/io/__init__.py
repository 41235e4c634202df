"""Read the inputs of a run and write its result rows."""
