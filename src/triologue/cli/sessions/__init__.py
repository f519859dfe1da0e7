"""`triologue sessions`: the conversations that are kept, to be looked at, gone on with, moved and forgotten."""
