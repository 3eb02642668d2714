"""What every addon must keep: each one on disk, and thirty made for the test, is held to the same promises."""
