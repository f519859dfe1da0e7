"""`triologue demo`: many conversations at once, and proof that none of them was lost."""

from triologue.cli.demo.command import DemoOptions as DemoOptions, run_demo as run_demo
