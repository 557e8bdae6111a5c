"""Which peers there are."""
from compare_lib import cyrus, dovecot, exim, opensmtpd, postfix

PEERS = {cls.name: cls for cls in (
    postfix.PostfixMaildir, postfix.PostfixMdbox, dovecot.DovecotMaildir, dovecot.DovecotMdbox, dovecot.DovecotHibernate,
    cyrus.Cyrus, opensmtpd.OpenSmtpd, exim.Exim)}
USUAL = ("postfix-maildir", "postfix-mdbox", "dovecot-maildir", "dovecot-mdbox", "dovecot-hibernate")


def does(server, line):
    """Whether a peer is run on a line; sums of ceilings are for ringmail alone."""
    if line.sum_percent or line.flood or line.port not in server.listeners:
        return False
    if server.only:
        return line.name in server.only
    # What stands behind Postfix is measured without it.
    return line.port == "smtp" or "smtp" not in server.listeners
