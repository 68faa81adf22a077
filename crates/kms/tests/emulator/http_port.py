"""An HTTP port that can be closed, with all that is connected to it, and opened again."""

import contextlib
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

HOST = "127.0.0.1"
# How soon a port that is to be closed notices.
POLL_SECONDS = 0.01

# Headers and body to status and body; None closes the connection without an answer.
Answer = Callable[[str, dict[str, str], bytes], tuple[int, str] | None]


class HttpPort(socketserver.ThreadingTCPServer):
    """Answers POST requests, each connection on a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, answer: Answer):
        self.answer = answer
        self.number: int
        self._connections: set[socket.socket] = set()
        self._serving: threading.Thread | None = None
        super().__init__((HOST, 0), _Handler)
        self.number = self.server_address[1]
        self._serve()

    def server_bind(self) -> None:
        """Under a number that is asked for, though it was found free: the system takes others back as soon as
        nobody listens there."""
        with socket.socket() as finder:
            finder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            finder.bind((HOST, 0))
            self.server_address = finder.getsockname()
            super().server_bind()

    def open(self) -> None:
        if self._serving is None:
            self.server_activate()
            self._serve()

    def close(self) -> None:
        """Refuses connections from here on and breaks those that there are. The socket stays bound, so that
        nobody else is given the number."""
        if self._serving is None:
            return
        self.shutdown()
        self._serving.join()
        self._serving = None
        self.socket.shutdown(socket.SHUT_RDWR)
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        self._serving = threading.Thread(target=self.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._serving.start()

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """A client that went away is none; anything else is the emulator's own, for the test's output."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: HttpPort
    protocol_version = "HTTP/1.1"
    # An answer leaves in one piece, at once: two would wait for each other by 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.answer(self.path, headers, body)
        if answer is None:
            self.close_connection = True
            return
        status, text = answer
        content = text.encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""
