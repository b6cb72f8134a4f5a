"""Why a command ends early. The message is one line for a person; the exit code says whose fault it was."""

from __future__ import annotations

from typing import ClassVar

from vivavoce.protocol.errors import VivavoceError


class ClientError(VivavoceError):
    """The conversation failed: the server refused, broke off or did not answer."""

    exit_code: ClassVar[int] = 1


class UsageError(ClientError):
    """The command cannot work as it was called: a file that is no recording, a package or a device that is missing."""

    exit_code: ClassVar[int] = 2
