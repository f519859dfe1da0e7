"""`python -m triologue.standin`."""

import sys

from triologue.standin.program import main

if __name__ == "__main__":
    sys.exit(main())
