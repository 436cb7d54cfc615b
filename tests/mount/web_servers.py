"""nginx and Caddy as examples/ configures them: over any folder, on a free port of this machine."""

import http.client
import os
import pathlib
import re
import shutil
import socket

from harness import SEARCH, wait_for

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "examples"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def example(name, changes):
    """The text of an example, where each of `changes` applies somewhere."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        if old not in text:
            raise AssertionError(f"examples/{name} has no {old!r}")
        text = text.replace(old, new)
    return text


def as_user(user, folder):
    """The start of a command: as a user who has nothing but this folder, and no longer than its
    parent."""
    os.mkdir(folder)
    shutil.chown(folder, user)
    return ["setpriv", f"--reuid={user}", "--clear-groups", "--regid=65534", "--pdeathsig", "TERM"]


class Nginx:
    """As Debian's nginx.conf would include the example, and with as many files as it may open
    there; beside another site that has all other names, if it is told so."""

    PROGRAM = shutil.which("nginx", path=SEARCH)

    def __init__(self, folder, root, port, keeps_open=False, user="nobody", other_site=False):
        changes = {"listen 80;": f"listen 127.0.0.1:{port};", "root /srv/log;": f"root {root};"}
        outside = other = ""
        if keeps_open:
            changes["# open_file_cache"] = "open_file_cache"
            outside = re.search(r"# (worker_rlimit_nofile .*;)\n", example("nginx.conf", {}))[1]
        if other_site:
            other = f"server {{ listen 127.0.0.1:{port} default_server; return 200 other; }}\n"
        own = f"{folder}/nginx-{port}"
        prefix = [*as_user(user, own), "prlimit", "--nofile=1024:"]
        paths = "".join(f"{name}_temp_path {own}/{name};\n"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = pathlib.Path(own, "nginx.conf")
        config.write_text(f"user {user}; pid {own}/pid; error_log {own}/error.log; daemon off;\n"
                          f"{outside} worker_processes 1; events {{ worker_connections 768; }}\n"
                          "http { access_log off; include /etc/nginx/mime.types; sendfile on;\n"
                          "tcp_nopush on; gzip on; default_type text/html;\n"
                          f"{paths}{other}{example('nginx.conf', changes)} }}\n",
                          encoding="utf-8")
        self.command = [*prefix, self.PROGRAM, "-e", f"{own}/error.log", "-c", config]


class Caddy:
    PROGRAM = shutil.which("caddy", path=SEARCH)

    def __init__(self, folder, root, port):
        own = f"{folder}/caddy-{port}"
        prefix = as_user("nobody", own)
        config = pathlib.Path(own, "Caddyfile")
        changes = {":80 {": f"http://127.0.0.1:{port} {{", "/srv/log\n": f"{root}\n"}
        config.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + example("Caddyfile", changes),
                          encoding="utf-8")
        homes = [f"{name}={own}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
        self.command = [*prefix, "env", *homes, self.PROGRAM, "run", "--config", config,
                        "--adapter", "caddyfile"]


def serve(start, make):
    """Starts make(port), by start(command); its port, and its process. Tries another port if
    somebody was faster."""
    for _ in range(5):
        port = free_port()
        child = start([str(word) for word in make(port).command])

        def answers(port=port, child=child):
            return child.poll() is not None or Client(port).answers()
        wait_for(answers, "the web server answers", 20)
        if child.poll() is None:
            return port, child
    raise AssertionError(f"{child.args} ended with {child.returncode}")


class Client:
    """One connection that is kept alive. Paths are sent as they are."""

    def __init__(self, port):
        self.port = port
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def answers(self):
        try:
            self.get("/vkey")
        except OSError:
            return False
        finally:
            self.connection.close()
        return True

    def get(self, path, method="GET", **headers):
        """Status, headers, body. A response that is not complete is an exception."""
        try:
            self.connection.putrequest(method, path, skip_host="Host" in headers,
                                       skip_accept_encoding=True)
            for name, value in headers.items():
                self.connection.putheader(name.replace("_", "-"), value)
            self.connection.endheaders()
            response = self.connection.getresponse()
            return response.status, response.headers, response.read()
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise
