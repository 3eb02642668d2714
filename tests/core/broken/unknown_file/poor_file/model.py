"""Nobody looks for a file of this name."""
