"""Image files: found, read, and drawn. What is decided of them for all commands stands here."""

# The largest image that is read, in pixels: where Pillow refuses one by default.
MAX_PIXELS = 2 * 89_478_485
# Of the colours of an overlay, 0 to 1.
DEFAULT_OPACITY = 0.5
