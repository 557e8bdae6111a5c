"""Real clients from packages: the scenarios of RINGMAIL_SHARED, and fetchmail and mutt by our own."""
import os
import re
import subprocess
import tempfile

from harness import DOMAIN, SHARED, Server, check, finish, skip


def fetchmail(s):
    user = s.users[0]
    s.send([user], b"From: a@client.test\r\nSubject: for fetchmail\r\n\r\nhello\r\n")
    with tempfile.TemporaryDirectory() as home:
        rc, box = os.path.join(home, "rc"), os.path.join(home, "box")
        with open(rc, "w", encoding="ascii") as f:
            f.write('poll localhost protocol pop3 port %d user "%s" password "pw" sslcertfile "%s" sslproto "tls1.2+" sslcertck\n'
                    '  mda "cat >> %s"\n' % (s.ports["pop3"], user, s.tls[0], box))
        os.chmod(rc, 0o700)
        out = subprocess.run(["fetchmail", "-f", rc, "--pidfile", os.path.join(home, "pid"), "-v"], env=dict(os.environ, HOME=home, FETCHMAILHOME=home),
                             capture_output=True, text=True, timeout=60, check=False)
        text = open(box, encoding="utf-8").read() if os.path.exists(box) else ""
        check("fetchmail drains by POP3 over STLS", out.returncode == 0 and "for fetchmail" in text, out.stdout[-1500:] + out.stderr[-800:])
    p = s.pop3(user)
    check("nothing is left behind", p.stat()[0] == 0)
    p.quit()


def mutt(s):
    user = s.users[0]
    s.send([user], b"From: a@client.test\r\nSubject: for mutt\r\n\r\nread me\r\n")
    with tempfile.TemporaryDirectory() as home:
        rc = os.path.join(home, "rc")
        with open(rc, "w", encoding="ascii") as f:
            f.write('set folder="imaps://localhost:%d/"\nset spoolfile="+INBOX"\nset imap_user="%s"\nset imap_pass="pw"\nset certificate_file="%s"\n'
                    'set ssl_ca_certificates_file="%s"\nset ssl_starttls=yes\nset wait_key=no\nset quit=yes\nset delete=yes\nset confirmappend=no\nset confirmcreate=no\nset record=""\n'
                    % (s.ports["imaps"], user, s.tls[0], s.tls[0]))
        kept = os.path.join(home, "kept")
        out = subprocess.run(["script", "-qec", "mutt -n -F %s -e 'push \"<copy-message>%s<enter><quit>\"'" % (rc, kept), "/dev/null"], env=dict(os.environ, HOME=home, TERM="xterm"),
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        text = open(kept, encoding="utf-8").read() if os.path.exists(kept) else ""
        check("mutt reads by IMAP over TLS", "read me" in text, (out.stdout[-600:], text[-300:]))


with Server(users=2, flags=["--unlimited-from", "127.0.0.0/8"]) as srv:
    fetchmail(srv)
    mutt(srv)
    if not SHARED:
        skip("client scenarios", "RINGMAIL_SHARED is not set")
    else:
        env = dict(os.environ, RM_HOST="127.0.0.1", RM_TLS_NAME="localhost", RM_DOMAIN=DOMAIN, RM_USER=srv.users[0], RM_PASS="pw",
                   RM_USER2=srv.users[1], RM_PASS2="pw", RM_CA=srv.tls[0], **{"RM_%s_PORT" % k.upper(): str(v) for k, v in srv.ports.items()})
        done = subprocess.run([os.path.join(SHARED, "clients", "open", "run-clients.sh")], env=env, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr[-4000:])
        for line in done.stdout.splitlines():
            m = re.match(r"(ok|not ok|skip) (.*)", line)
            if m and m[1] == "skip":
                skip(m[2], "")
            elif m:
                check(m[2], m[1] == "ok")
finish()
