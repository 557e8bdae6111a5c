"""Cyrus IMAP: its own store, processes that serve many sessions one after the other."""
import os
import subprocess

from compare_lib import namespace, packages
from compare_lib.server import PASSWORD, Server

PACKAGES = ["cyrus-common", "cyrus-imapd", "cyrus-pop3d", "sasl2-bin", "libsasl2-modules", "libsasl2-modules-db"]
USERS_WITH_MAIL = 450  # of the matrix; each costs a call of saslpasswd2

CONFIG = """
configdirectory: {folder}/conf
proc_path: {folder}/proc
mboxname_lockpath: {folder}/lock
partition-default: {folder}/mail
defaultpartition: default
lmtpsocket: {folder}/socket/lmtp
idlesocket: {folder}/socket/idle
notifysocket: {folder}/socket/notify
admins: cyrus
hashimapspool: yes
unixhierarchysep: yes
virtdomains: off
autocreate_quota: 0
autocreate_post: yes
allowplaintext: yes
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {folder}/sasldb2
lmtp_downcase_rcpt: yes
popminpoll: 0
maxlogins_per_user: 0
tls_server_cert: {folder}/cert.pem
tls_server_key: {folder}/key.pem
"""

SERVICES = """
START {{
  recover cmd="/usr/lib/cyrus/bin/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="/usr/lib/cyrus/bin/imapd -C {folder}/imapd.conf -U 1000" listen="127.0.0.1:{imap}" prefork=16 maxchild=8000
  imaps cmd="/usr/lib/cyrus/bin/imapd -C {folder}/imapd.conf -s -U 1000" listen="127.0.0.1:{imaps}" prefork=16 maxchild=8000
  pop3 cmd="/usr/lib/cyrus/bin/pop3d -C {folder}/imapd.conf -U 1000" listen="127.0.0.1:{pop3}" prefork=16 maxchild=1000
  lmtp cmd="/usr/lib/cyrus/bin/lmtpd -C {folder}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=16 maxchild=300
}}
DAEMON {{
  idled cmd="/usr/lib/cyrus/bin/idled -C {folder}/imapd.conf"
}}
EVENTS {{
}}
"""

# In one go: a private view is made once, not for each account.
PASSWORDS = 'i=0; while [ $i -lt $2 ]; do echo "$3" | saslpasswd2 -p -c -f "$1" -u "$(hostname)" u$i; i=$((i+1)); done'


class Cyrus(Server):
    name, listeners, login = "cyrus", ("lmtp", "pop3", "imap", "imaps"), "u%d"

    def __init__(self, work, cache):
        super().__init__(work)
        self.cache, self.root = cache, None

    def prepare(self):
        self.root = packages.unpack(PACKAGES, self.cache)
        owner = namespace.ACCOUNTS["cyrus"]
        os.chown(self.folder, owner, owner)
        for name in ("conf", "proc", "lock", "mail", "socket"):
            self.make(name, owner)
        for name in ("user", "db", "socket", "log", "msg", "quota", "sieve"):
            self.make("conf/" + name, owner)
        for name, path in (("cert.pem", self.tls[0]), ("key.pem", self.tls[1])):
            with open(path, encoding="utf-8") as f:
                self.write(name, f.read(), 0o600)
            os.chown(self.path(name), owner, owner)
        values = dict(self.ports, folder=self.folder)
        self.write("imapd.conf", CONFIG.format(**values))
        self.write("cyrus.conf", SERVICES.format(**values))
        if not os.path.exists(self.path("sasldb2")):
            made = subprocess.run(namespace.inside(self, self.root, ["sh", "-c", PASSWORDS, "sh", self.path("sasldb2"),
                                                                     str(USERS_WITH_MAIL), PASSWORD]),
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if not os.path.exists(self.path("sasldb2")):
                raise packages.Trouble("cyrus: saslpasswd2: %s" % made.stderr.strip()[-300:].replace("\n", " "))
            os.chown(self.path("sasldb2"), owner, owner)

    def command(self):
        return namespace.inside(self, self.root, ["/usr/lib/cyrus/bin/master", "-C", self.path("imapd.conf"), "-M",
                                                  self.path("cyrus.conf"), "-p", self.path("pid"), "-D"])

    def version(self):
        return "Cyrus " + packages.version("cyrus-imapd", self.cache)
