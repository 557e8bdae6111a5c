"""Exim, delivering to maildir itself. It forks a process for each message."""
import os

from compare_lib import namespace, packages
from compare_lib.server import DOMAIN, USER_COUNT, Server

CONFIG = """
exim_path = /usr/sbin/exim4
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/exim.pid
primary_hostname = mx.{domain}
daemon_smtp_ports = {smtp}
local_interfaces = 127.0.0.1
tls_certificate = {cert}
tls_privatekey = {key}
domainlist ours = {domain}
acl_smtp_rcpt = to_ours
acl_smtp_data = all_of_it
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_queue = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 1000
split_spool_directory = true
deliver_drop_privilege = true
keep_environment =
begin acl
to_ours:
  accept domains = +ours
all_of_it:
  accept
begin routers
everybody:
  driver = accept
  domains = +ours
  # What is looked up is not tainted any more, and may name a folder.
  address_data = ${{lookup{{$local_part}}lsearch,ret=key{{{folder}/known}}}}
  transport = mailbox
begin transports
mailbox:
  driver = appendfile
  maildir_format
  create_directory
  directory = {folder}/home/$address_data
  user = Debian-exim
  group = Debian-exim
begin retry
* * F,1h,1m
"""


class Exim(Server):
    name, listeners, forks, queues = "exim", ("smtp",), True, True

    def __init__(self, work, cache):
        super().__init__(work)
        self.cache, self.root = cache, None

    def prepare(self):
        self.root = packages.unpack(["exim4-daemon-light"], self.cache)
        owner = namespace.ACCOUNTS["Debian-exim"]
        os.chown(self.folder, owner, owner)
        for name in ("spool", "home"):
            self.make(name, owner)
        self.write("known", "".join("u%d: x\n" % i for i in range(USER_COUNT)))
        self.write("exim.conf", CONFIG.format(folder=self.folder, domain=DOMAIN, cert=self.tls[0], key=self.tls[1],
                                              **self.ports))

    def command(self):
        return namespace.inside(self, self.root, ["/usr/sbin/exim4", "-C", self.path("exim.conf"), "-bdf", "-q1m"])

    def queued(self):
        return sum(len(files) for _, _, files in os.walk(self.path("spool", "input")))

    def version(self):
        return "Exim " + packages.version("exim4-daemon-light", self.cache)
