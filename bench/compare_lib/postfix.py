"""Postfix in front, Dovecot behind it by LMTP: how such a pair is commonly run."""
import os
import shutil

from compare_lib import dovecot, namespace, packages
from compare_lib.server import DOMAIN, USER_COUNT

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/postfix-data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = {folder}/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{domain}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
disable_dns_lookups = yes
smtpd_peername_lookup = no
biff = no
alias_maps =
alias_database =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
default_process_limit = 400
in_flow_delay = 0
"""

# Name, kind, private, chrooted, wakeup, process limit, program: as delivered, but nothing is
# chrooted, and smtpd listens on our port. (Columns 3 to 7 of master(5).)
MASTER = """
127.0.0.1:{smtp} inet n - n - 400 smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
QUEUES = ("maildrop", "incoming", "active", "deferred")

# Both masters in one group of processes; the shell passes on what ends it.
BOTH = """
/usr/sbin/dovecot -F -c "$1/dovecot.conf" & dovecot=$!
/usr/sbin/postfix -c "$1/postfix" start-fg & postfix=$!
trap 'kill $postfix $dovecot; wait' TERM
wait
"""


class Postfix(dovecot.Dovecot):
    listeners = ("smtp", "lmtp", "pop3", "imap", "imaps")
    queues = True

    def prepare(self):
        self.root = packages.unpack(["postfix"] + dovecot.PACKAGES, self.cache)
        self.configure()
        owner = namespace.ACCOUNTS["postfix"]
        self.make("spool")
        self.make("postfix-data", owner, 0o700)
        values = dict(self.ports, folder=self.folder, domain=DOMAIN, cert=self.tls[0], key=self.tls[1])
        self.write("postfix/main.cf", MAIN.format(**values))
        self.write("postfix/master.cf", MASTER.format(**values))
        for name in ("postfix-files", "dynamicmaps.cf", "postfix-files.d", "dynamicmaps.cf.d"):
            self.bring(name)
        self.write("mailboxes", "".join("u%d@%s x\n" % (i, DOMAIN) for i in range(USER_COUNT)))

    def bring(self, name):
        """A table that Postfix looks for beside its configuration."""
        for folder in ("etc/postfix", "usr/lib/postfix", "usr/share/postfix"):
            source = os.path.join(self.root, folder, name)
            if os.path.isfile(source):
                shutil.copy(source, self.path("postfix", name))
                return

    def command(self):
        return namespace.inside(self, self.root, ["sh", "-c", BOTH, "sh", self.folder])

    def queued(self):
        return sum(len(files) for queue in QUEUES for _, _, files in os.walk(self.path("spool", queue)))

    def version(self):
        return "Postfix %s with %s" % (packages.version("postfix", self.cache), super().version())


class PostfixMaildir(Postfix):
    name, format = "postfix-maildir", "maildir"


class PostfixMdbox(Postfix):
    name, format = "postfix-mdbox", "mdbox"
