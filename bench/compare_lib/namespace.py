"""A view of the file system for one peer: its unpacked packages over /usr, accounts of its
own, a private /run. Nothing outside the view changes, and it ends with its processes."""
import os

# Accounts that the packages would have made, with numbers no distribution gives out.
ACCOUNTS = {"vmail": 61801, "dovecot": 61802, "dovenull": 61803, "postfix": 61804, "postdrop": 61805, "cyrus": 61806,
            "opensmtpd": 61807, "opensmtpq": 61808, "Debian-exim": 61809}

MOUNTS = """
root=$1 passwd=$2 group=$3
shift 3
mount -t overlay overlay -o "lowerdir=$root/usr:/usr" /usr
mount --bind "$passwd" /etc/passwd
mount --bind "$group" /etc/group
mount -t tmpfs -o mode=755,size=16m tmpfs /run
exec "$@"
"""


def accounts(server):
    """passwd and group files: the machine's, and ours."""
    with open("/etc/passwd", encoding="utf-8") as f:
        users = [line for line in f if line.split(":")[0] not in ACCOUNTS]
    with open("/etc/group", encoding="utf-8") as f:
        groups = [line for line in f if line.split(":")[0] not in ACCOUNTS]
    users += ["%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (n, i, i) for n, i in ACCOUNTS.items()]
    groups += ["%s:x:%d:\n" % (n, i) for n, i in ACCOUNTS.items()]
    return server.write("passwd", "".join(users)), server.write("group", "".join(groups))


def inside(server, root, command):
    """The command that runs `command` in the view; it keeps the pid."""
    passwd, group = accounts(server)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", MOUNTS, "sh", root, passwd, group] + command


def fits(folder):
    """Mounts hide /usr, /etc/passwd and /run: the folder must lie elsewhere."""
    return not os.path.realpath(folder).startswith(("/usr/", "/etc/", "/run/", "/proc/", "/sys/", "/dev/"))
