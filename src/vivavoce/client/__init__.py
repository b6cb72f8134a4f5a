"""Clients for the command line: `vivavoce say`, `talk` and `replay`."""
