"""How bytes reach a client. See README.md in this folder."""
