"""A fork server for tests, without any model: its work tells its process id, then repeats what it hears."""

import os
import socket

from vivavoce.engines.forked import serve

LOADED_BY = os.getpid()


def repeat(connection: socket.socket) -> None:
    connection.sendall(f"{os.getpid()} {LOADED_BY}\n".encode())
    while heard := connection.recv(1000):
        if heard == b"break":
            raise RuntimeError("as told")
        connection.sendall(heard)


if __name__ == "__main__":
    serve(lambda: repeat)
