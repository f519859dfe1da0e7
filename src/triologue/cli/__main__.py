"""`python -m triologue.cli`: the same as `triologue`."""

import sys

from triologue.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
