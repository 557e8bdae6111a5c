"""Dovecot at its best: processes that are used again, logins that share processes."""
import os

from compare_lib import namespace, packages
from compare_lib.server import PASSWORD, USER_COUNT, Server

PACKAGES = ["dovecot-core", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd"]

CONFIG = """
protocols = imap pop3 lmtp
listen = 127.0.0.1
base_dir = {folder}/run
log_path = {folder}/dovecot.log
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
auth_username_format = %Ln
mail_location = {format}:~/{format}
mail_fsync = optimized
mail_max_userip_connections = 0
first_valid_uid = 1
default_vsz_limit = 0
default_client_limit = 20000
default_process_limit = 16000
imap_hibernate_timeout = {hibernate}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%Ln {folder}/users
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={folder}/home/%Ln allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  service_count = 0
  client_limit = 16000
  process_min_avail = 2
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  service_count = 0
  client_limit = 16000
  process_min_avail = 2
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap {{
  service_count = {sessions}
  process_min_avail = {ready}
  process_limit = 16000
  unix_listener imap-master {{
    user = dovecot
  }}
}}
service imap-hibernate {{
  unix_listener imap-hibernate {{
    mode = 0666
  }}
}}
service pop3 {{
  service_count = {sessions}
  process_min_avail = {ready}
  process_limit = 16000
}}
service lmtp {{
  service_count = 0
  process_min_avail = 16
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@example.test
}}
"""


class Dovecot(Server):
    listeners = ("lmtp", "pop3", "imap", "imaps")
    hibernate = 0
    sessions, ready = 1000, 16  # that an imap or pop3 process serves; processes that wait for one

    def __init__(self, work, cache):
        super().__init__(work)
        self.cache, self.root = cache, None

    def prepare(self):
        self.root = packages.unpack(PACKAGES, self.cache)
        self.configure()

    def configure(self):
        vmail = namespace.ACCOUNTS["vmail"]
        self.make("home", vmail)
        self.make("run")
        self.write("users", "".join("u%d:%s::::::\n" % (i, PASSWORD) for i in range(USER_COUNT)))
        self.write("dovecot.conf", CONFIG.format(folder=self.folder, cert=self.tls[0], key=self.tls[1], format=self.format,
                                                 hibernate=self.hibernate, sessions=self.sessions, ready=self.ready, **self.ports))

    def command(self):
        return namespace.inside(self, self.root, ["/usr/sbin/dovecot", "-F", "-c", self.path("dovecot.conf")])

    def version(self):
        return "Dovecot " + packages.version("dovecot-core", self.cache)


class DovecotMaildir(Dovecot):
    name, format = "dovecot-maildir", "maildir"


class DovecotMdbox(Dovecot):
    name, format = "dovecot-mdbox", "mdbox"


class DovecotHibernate(Dovecot):
    """IDLE connections handed to one process: for the memory of idle connections only. The
    processes that had them end, for kept ones would be the memory that this saves."""
    name, format, hibernate, sessions, ready = "dovecot-hibernate", "mdbox", "2s", 1, 0
    only = ("idle-memory", "idle-memory-tls")
