"""OpenSMTPD, delivering to maildir by a program of its own that it starts for each message."""
import os

from compare_lib import namespace, packages
from compare_lib.server import DOMAIN, USER_COUNT, Server

CONFIG = """
table known file:{folder}/known
smtp limit max-mails 1000000
smtp limit max-rcpt 1000000
listen on 127.0.0.1 port {smtp}
action "mailbox" maildir userbase <known>
match from any for domain "{domain}" action "mailbox"
"""

# The paths of the spool and of an empty folder are compiled in.
SPOOL = """
mount --bind "$1/var" /var/spool
mount -t tmpfs -o mode=755,size=1m tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty
exec /usr/sbin/smtpd -d -f "$1/smtpd.conf"
"""


class OpenSmtpd(Server):
    name, listeners, forks, queues = "opensmtpd", ("smtp",), True, True

    def __init__(self, work, cache):
        super().__init__(work)
        self.cache, self.root = cache, None

    def prepare(self):
        self.root = packages.unpack(["opensmtpd"], self.cache)
        vmail, queue = namespace.ACCOUNTS["vmail"], namespace.ACCOUNTS["opensmtpq"]
        self.make("var")
        self.make("var/smtpd", mode=0o711)
        for name in ("corrupt", "incoming", "purge", "queue", "temporary"):
            self.make("var/smtpd/" + name, queue, 0o700, 0)
        self.make("var/smtpd/offline", 0, 0o770, queue)
        self.make("home", vmail)
        for i in range(USER_COUNT):
            self.make("home/u%d" % i, vmail)
        self.write("known", "".join("u%d %d:%d:%s/home/u%d\n" % (i, vmail, vmail, self.folder, i) for i in range(USER_COUNT)))
        self.write("smtpd.conf", CONFIG.format(folder=self.folder, domain=DOMAIN, **self.ports))

    def command(self):
        return namespace.inside(self, self.root, ["sh", "-ec", SPOOL, "sh", self.folder])

    def queued(self):
        return sum(len(files) for queue in ("incoming", "queue") for _, _, files in os.walk(self.path("var/smtpd", queue)))

    def version(self):
        return "OpenSMTPD " + packages.version("opensmtpd", self.cache)
