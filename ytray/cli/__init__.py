"""The command `ytray`. One file a subject; each is imported by `app.py`, which `main` runs."""


def main() -> None:
    """Entry point of the console script."""
    from ytray.cli.app import run

    run()
