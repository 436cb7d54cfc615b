#!/usr/bin/env python3
"""A real browser shows the checkpoint of a published log as text: Chromium, without a screen, reads
it from nginx and from Caddy as examples/ configures them, over a static mount, while the log grows.

  browser_test.py path/to/tlogfs

Skipped where chromium or a web server is not installed (chromium is large: tests/run does not
install it), unless TLOGFS_REQUIRE_BROWSER=1 makes that a failure.
"""

import html
import os
import re
import shutil
import subprocess

import harness
from web_servers import Caddy, Nginx, serve


class BrowserTest(harness.MountTest):
    def shown(self, url):
        """The page that the browser makes of it."""
        with open(self.path("chromium.err"), "wb") as err:
            browser = self.start(["chromium", "--headless", "--no-sandbox", "--disable-gpu",
                                  "--user-data-dir=" + self.path("profile"), "--dump-dom", url],
                                 stdout=subprocess.PIPE, stderr=err)
            page = browser.communicate(timeout=40)[0].decode()
        self.assertEqual(browser.returncode, 0)
        return page

    def check(self, server):
        for name, there in (("chromium", shutil.which("chromium")), (server, server.PROGRAM)):
            if not there:
                if os.environ.get("TLOGFS_REQUIRE_BROWSER") == "1":
                    self.fail("no %s" % name)
                self.skipTest("no %s" % name)
        os.chmod(self.folder, 0o755)  # The server is another user.
        log = self.mount()
        published = self.mount(log.store, options="static,allow_other")
        port, _ = serve(self.start, lambda port: server(self.folder, published.path, port))
        for _ in range(2):
            log.append(*[b"an entry"] * 300)
            page = self.shown("http://127.0.0.1:%d/checkpoint" % port)
            text = re.search(r"<body><pre[^>]*>(.*)</pre>", page, re.S)
            self.assertIsNotNone(text, "a download, or HTML: %r" % page)
            self.assertEqual(html.unescape(text[1]).encode(), log.read("checkpoint"))

    def test_checkpoint_is_text_with_nginx(self):
        self.check(Nginx)

    def test_checkpoint_is_text_with_caddy(self):
        self.check(Caddy)


if __name__ == "__main__":
    harness.main()
