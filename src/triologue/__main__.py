"""`python -m triologue`: the same as `triologue`, where that is not on the path."""

import sys

from triologue.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
