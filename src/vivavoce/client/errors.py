"""Why a command ends early. The message is one line for a person; the command line turns it into an exit code."""

from __future__ import annotations

from vivavoce.protocol.errors import SettingsError, VivavoceError


class ClientError(VivavoceError):
    """The conversation failed: the server refused, broke off or did not answer. Exit code 1."""


class UsageError(SettingsError):
    """The command cannot work as it was called: a file that is no recording, a package or a device that is missing. Exit
    code 2.
    """
