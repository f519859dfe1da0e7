"""What programs built on triologue test themselves with; needs the extra `testing`."""
