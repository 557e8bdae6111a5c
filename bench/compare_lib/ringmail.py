"""ringmail, as a server to be compared."""
import os
import shlex
import subprocess

from compare_lib.packages import TOP
from compare_lib.server import DOMAIN, PASSWORD, USER_COUNT, USERS, Server

BUILD = os.path.join(TOP, "build", "release")


def spread():
    """The driver has a CPU: a thread more than the others bear would only fight it for that."""
    threads = max(1, len(os.sched_getaffinity(0)) - 1)
    return "--threads %d --shards %d" % (threads, threads)


class Ringmail(Server):
    name = "ringmail"
    binary = os.environ.get("RINGMAIL_RELEASE") or os.path.join(BUILD, "ringmail")

    def __init__(self, work, flags):
        super().__init__(work)
        self.flags = flags

    def prepare(self):
        self.write("users", "".join("%s:{PLAIN}%s\n" % (USERS % i, PASSWORD) for i in range(USER_COUNT)), 0o600)

    def command(self):
        command = [self.binary, "serve", "--data", self.path("data"), "--hostname", "mail." + DOMAIN, "--domain", DOMAIN,
                   "--users", self.path("users"), "--allow-plaintext", "127.0.0.0/8", "--unlimited-from", "127.0.0.0/8",
                   "--tls-cert", self.tls[0], "--tls-key", self.tls[1]]
        for name in self.listeners:
            command += ["--" + name, "127.0.0.1:%d" % self.ports[name]]
        return command + self.flags

    def version(self):
        got = subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout.strip() or "?"
        return "%s with `%s`" % (got, shlex.join(self.flags))
