"""A server on this machine that answers as Comet does, as far as a run can tell, until it is told not to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANDSHAKE = {
    "runId": "run", "projectId": "project", "focusUrl": "http://127.0.0.1/", "lastOffset": 0, "version": "9.9.9",
    "is_alive_beat_duration_millis": 5000, "gpu_monitor_interval_millis": 60000,
    "parameter_update_interval_millis": 60000,
}  # fmt: skip


class FakeComet:
    """Accepts every key and everything it is sent; `status` answers for paths that end with a key of it instead."""

    def __init__(self) -> None:
        self.status: dict[str, int] = {}
        self.asked: list[str] = []
        fake = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                fake.asked.append(path)
                status = next((status for end, status in fake.status.items() if path.endswith(end)), 200)
                content = json.dumps(HANDSHAKE if status == 200 else {"msg": "no", "code": status}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/clientlib/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def vanish(self) -> None:
        """From now on nobody answers."""
        self.server.shutdown()
        self.server.server_close()
