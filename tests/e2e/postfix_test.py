"""Postfix as the next hop and as the sender: both ways, over TLS, with reports."""
import email
import glob
import os
import pwd
import re
import shutil
import smtplib
import subprocess
import tempfile

from harness import DOMAIN, Server, certificate, check, finish, free_ports, skip, wait_for

PEER = "postfix.test"
MAIN = """
compatibility_level = 3.6
queue_directory = {top}/spool
data_directory = {top}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.{peer}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
maillog_file = {top}/log/postfix.log
maillog_file_prefixes = {top}
alias_maps =
alias_database =
virtual_mailbox_domains = {peer}
virtual_mailbox_maps = static:box/
virtual_mailbox_base = {top}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
transport_maps = inline:{{{domain}=smtp:[127.0.0.1]:{smtp}}}
smtpd_recipient_restrictions = check_recipient_access inline:{{gone@{peer}=reject}}, check_recipient_access inline:{{later@{peer}=defer}}, permit_mynetworks, reject
smtp_tls_security_level = encrypt
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_tls_received_header = yes
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, port, smtp):
        self.top = tempfile.mkdtemp(prefix="ringmail-postfix-")
        os.chmod(self.top, 0o755)
        user = pwd.getpwnam("postfix")
        for name in ("etc", "spool", "data", "log", "mail"):
            os.mkdir(os.path.join(self.top, name))
        for name in ("data", "mail"):
            os.chown(os.path.join(self.top, name), user.pw_uid, user.pw_gid)
        cert, key = certificate(self.top)
        values = {"top": self.top, "peer": PEER, "domain": DOMAIN, "smtp": smtp, "port": port, "cert": cert, "key": key,
                  "uid": user.pw_uid, "gid": user.pw_gid}
        self.port, self.conf = port, os.path.join(self.top, "etc")
        for name, text in (("main.cf", MAIN), ("master.cf", MASTER)):
            with open(os.path.join(self.conf, name), "w", encoding="ascii") as f:
                f.write(text.format(**values))
        for name in ("dynamicmaps.cf", "postfix-files"):
            if os.path.exists("/etc/postfix/" + name):
                shutil.copy("/etc/postfix/" + name, self.conf)

    def __enter__(self):
        done = subprocess.run(["postfix", "-c", self.conf, "start"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr + self.log())
        return self

    def __exit__(self, *exc):
        subprocess.run(["postfix", "-c", self.conf, "stop"], capture_output=True, check=False)
        shutil.rmtree(self.top, ignore_errors=True)

    def log(self):
        try:
            with open(os.path.join(self.top, "log", "postfix.log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def mail(self, word):
        """Messages in its mailbox that hold the word."""
        found = []
        for name in glob.glob(os.path.join(self.top, "mail", "box", "new", "*")):
            with open(name, "rb") as f:
                text = f.read()
            if word.encode() in text:
                found.append(text)
        return found


def submit(s, to, text, mail_options=(), rcpt_options=()):
    with smtplib.SMTP("127.0.0.1", s.ports["submission"], timeout=60) as c:
        c.ehlo("client.test")
        c.starttls(context=s.context())
        c.ehlo("client.test")
        c.login("u0@" + DOMAIN, "pw")
        return c.sendmail("u0@" + DOMAIN, to, text, mail_options, rcpt_options)


def inbox(s, user, word):
    m = s.imap(user)
    m.select()
    texts = [m.uid("FETCH", u, "(BODY.PEEK[])")[1][0][1] for u in m.uid("SEARCH", "ALL")[1][0].split()]
    m.logout()
    return [t for t in texts if word.encode() in t]


def report(s, word, seconds=30):
    got = wait_for(lambda: inbox(s, "u0@" + DOMAIN, word), seconds, 0.1) or []
    return email.message_from_bytes(got[0]) if len(got) == 1 else None


def fields(message):
    """Of the delivery-status part: one dictionary for each recipient."""
    for part in message.walk() if message else ():
        if part.get_content_type() == "message/delivery-status":
            return [dict((k.lower(), v) for k, v in block.items()) for block in part.get_payload()]
    return []


def outgoing(s, p):
    text = b"From: u0@%s\r\nTo: box@%s\r\nSubject: out\r\n\r\n.dot\r\n..dots\r\nline\r\n" % (DOMAIN.encode(), PEER.encode())
    submit(s, "box@" + PEER, text)
    got = wait_for(lambda: p.mail("Subject: out"), 30, 0.1) or []
    check("a submitted message reaches Postfix", len(got) == 1, p.log()[-1500:] + s.log_text()[-1500:])
    check("over TLS, as the sender's", got and b"using TLSv1" in got[0] and b"Return-Path: <u0@" in got[0])
    check("with its dots", got and got[0].endswith(b"\n.dot\n..dots\nline\n"), got)
    eight = "From: u0@%s\r\nTo: box@%s\r\nSubject: eight\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nÄpfel\r\n" % (DOMAIN, PEER)
    submit(s, "box@" + PEER, eight.encode(), ["body=8bitmime"])
    got = wait_for(lambda: p.mail("Subject: eight"), 30, 0.1) or []
    check("8-bit text stays what it is", got and "Äpfel".encode() in got[0])
    submit(s, ["box@" + PEER, "gone@" + PEER], text.replace(b"out", b"refused"), ["ret=hdrs", "envid=QQ314159"])
    told = report(s, "gone@" + PEER)
    status = fields(told)
    check("a refused recipient is reported", len(status) == 2 and status[1].get("action") == "failed" and status[1]["status"].startswith("5."), status)
    check("with the envelope id and the answer of Postfix",
          status and status[0].get("original-envelope-id") == "QQ314159" and "Access denied" in status[1].get("diagnostic-code", ""), status)
    check("and the other one has it", len(wait_for(lambda: p.mail("Subject: refused"), 20, 0.1) or []) == 1)
    submit(s, "later@" + PEER, text.replace(b"out", b"deferred"))
    check("a deferred one waits", wait_for(lambda: "450" in s.queue("list") or "4.7.1" in s.queue("list"), 20, 0.2), s.queue("list"))
    s.queue("drop", "all")
    submit(s, "box@" + PEER, text.replace(b"out", b"success"), [], ["notify=success", "orcpt=rfc822;box@" + PEER])
    told = report(s, "successful", 40) or report(s, "Action: ", 1)
    check("Postfix reports success itself", told and any(f.get("action") in ("delivered", "relayed") for f in fields(told)), p.log()[-1500:])


def incoming(s, p):
    def send(to, subject, mail_options=(), rcpt_options=()):
        with smtplib.SMTP("127.0.0.1", p.port, timeout=60) as c:
            c.starttls()
            c.ehlo("client.test")
            c.sendmail("box@" + PEER, to, "Subject: %s\r\n\r\nfrom Postfix\r\n" % subject, mail_options, rcpt_options)
    send("u1@" + DOMAIN, "in")
    got = wait_for(lambda: inbox(s, "u1@" + DOMAIN, "Subject: in"), 30, 0.1) or []
    check("Postfix delivers to us", len(got) == 1, p.log()[-1500:])
    check("over TLS", got and b"with ESMTPS" in got[0])
    send("nobody@" + DOMAIN, "bad")
    got = wait_for(lambda: p.mail("nobody@" + DOMAIN), 30, 0.1) or []
    check("our 5.1.1 becomes its report", got and re.search(rb"Status: 5\.1\.1", got[0]), p.log()[-1500:])
    send("u1@" + DOMAIN, "told", ["envid=in42", "ret=hdrs"], ["notify=success,failure,delay"])
    got = wait_for(lambda: p.mail("in42"), 30, 0.1) or []
    check("we report success to the sender at Postfix, with his envelope id",
          got and b"Action: delivered" in got[0] and b"Original-Envelope-Id: in42" in got[0], p.log()[-1500:] + s.log_text()[-1500:])


class Sender(Server):
    def queue(self, *command):
        done = subprocess.run([self.binary, "queue", command[0], "--data", self.data, *command[1:]],
                              capture_output=True, text=True, check=False, timeout=60)
        return done.stdout + done.stderr


def main():
    if os.geteuid() != 0 or not shutil.which("postfix"):
        skip("Postfix both ways", "needs root and the package postfix")
        finish()
    port = free_ports(1)[0]
    s = Sender(flags=["--retry-first", "1s", "--retry-max", "2s"])
    s.flags += ["--route", "%s=127.0.0.1:%d,tls=encrypt" % (PEER, port)]
    with s, Postfix(port, s.ports["smtp"]) as p:
        outgoing(s, p)
        incoming(s, p)
    finish()


if __name__ == "__main__":
    main()
