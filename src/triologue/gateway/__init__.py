"""Sessions for other programs: one port that speaks `triologue.v1` to them, and shows people a page."""
