"""ringmail, as a server to be compared."""
import os
import subprocess

from compare_lib.packages import TOP
from compare_lib.server import DOMAIN, PASSWORD, USER_COUNT, USERS, Server

BUILD = os.path.join(TOP, "build", "release")


class Ringmail(Server):
    name = "ringmail"
    binary = os.environ.get("RINGMAIL_RELEASE") or os.path.join(BUILD, "ringmail")

    def prepare(self):
        self.write("users", "".join("%s:{PLAIN}%s\n" % (USERS % i, PASSWORD) for i in range(USER_COUNT)), 0o600)

    def command(self):
        command = [self.binary, "serve", "--data", self.path("data"), "--hostname", "mail." + DOMAIN, "--domain", DOMAIN,
                   "--users", self.path("users"), "--allow-plaintext", "127.0.0.0/8", "--unlimited-from", "127.0.0.0/8",
                   "--tls-cert", self.tls[0], "--tls-key", self.tls[1]]
        for name in self.listeners:
            command += ["--" + name, "127.0.0.1:%d" % self.ports[name]]
        return command

    def version(self):
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout.strip() or "?"
