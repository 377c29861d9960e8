"""The benchmark: what a delivered token costs here, and in a plain process that streams it."""
