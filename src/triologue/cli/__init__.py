"""The `triologue` command: a demo, a chat, a single prompt, and a look at what is installed; thin over the library."""
