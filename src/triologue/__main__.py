"""`python -m triologue`: the command, where its script is not on the path."""

import sys

from triologue.cli.main import main

sys.exit(main())
