"""The HTTP side: routes, authentication, metrics, console. See README.md in this folder."""
