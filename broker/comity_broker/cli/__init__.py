"""The commands that need a broker's parts: `comity broker` and `comity demo`."""
