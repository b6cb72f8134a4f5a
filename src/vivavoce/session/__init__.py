"""The conversation as a state machine that does no I/O. See README.md in this folder."""
