"""The rules of the offline assistant. Pure functions of what was said, of the tools and of the time; no I/O, no state."""
