"""Text on pictures: captions and how they are grouped, fonts, typesetting of every script."""
