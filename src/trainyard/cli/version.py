"""`trainyard version`, for those who ask with more words than main()'s shortcut knows."""

from argparse import Namespace

from trainyard import __version__


def version(_flags: Namespace) -> int:
    """Print it."""
    print(f"trainyard {__version__}")
    return 0
