"""`python -m ytray` is the command `ytray`."""

from ytray.cli import main

main()
