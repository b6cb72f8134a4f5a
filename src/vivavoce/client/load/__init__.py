"""Many speaking clients at once, to measure a server. See README.md in this folder."""
