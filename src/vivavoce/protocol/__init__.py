"""The wire: events, objects, errors, and how bytes become events. See README.md in this folder."""
