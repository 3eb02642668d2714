"""Is not Python."""

class Case(:
    pass
