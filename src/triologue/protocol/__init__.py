"""`triologue.v1`: what a gateway and its clients say to each other, and over what."""
