"""What is measured: one Line for each kind of work, with the target it has to meet."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Fill:
    """Mail that must be there first: `messages` of `size`, in turns to `users` users."""
    name: str
    first: int
    users: int
    messages: int
    size: int

    def to_users(self):
        return ["--user-first", str(self.first), "--user-count", str(self.users)]


@dataclasses.dataclass(frozen=True)
class Line:
    name: str
    title: str
    port: str                 # the listener that is driven
    drive: tuple              # mode and flags for ringmail-bench
    fill: Fill
    connections: int = 1
    tls: str = "none"
    per: int = 1              # things that one operation of the driver does
    cpu_times: float = 0      # target: so many times less CPU than the best peer
    rate_times: float = 0     # target: so many times its rate
    p50_us: float = 0         # target: less than that
    p99_us: float = 0
    memory_bytes: float = 0   # target: less a connection
    deliver: str = ""         # listener for deliveries beside the line
    flood: tuple = ()         # (listener, drive, connections) at full rate beside it; a line for ringmail alone
    ceiling: tuple = ()       # (figure, times), ...: their sum is what no server can do without
    sum_percent: float = 0    # target: the sum is so much of ringmail's CPU; a line for ringmail alone
    kind: str = "load"        # load, or memory of idle connections
    note: str = ""            # what a reader of the ratio must know


def fills(quick):
    """Users are apart for each use, so that no line changes the mailboxes of another."""
    big = 1000 if quick else 10000
    return {
        "few": Fill("few", 0, 200, 200, 1024),
        "small": Fill("small", 200, 100, 1000, 10240),
        "big": Fill("big", 300, 1, big, 2048),
        "large": Fill("large", 301, 1, 60 if quick else 300, 102400),
        "append": Fill("append", 310, 16, 16, 1024),
        "idle": Fill("idle", 330, 1, 1, 1024),
        "ten": Fill("ten", 340, 100, 100, 1024),
    }


# CPU of sums in microseconds; see `ringmail-ceiling --help` for what the figures are.

CEILING_PERCENT = 60  # target of every line that has a sum alone to be compared with


def text(size):
    """The octets of a message, received and looked at."""
    return ("receive_us_per_mb", size / 1e6), ("text_10k_us", size / 10240)


COMMIT = ("commit_64k_x4_us", 1 / 6)  # 64 KiB hold six messages of 10 KiB
KEPT = (("line_us", 3), *text(10240), COMMIT)
ONE_SHOT = (("connect_us", 1), ("line_us", 5), COMMIT)
ONE_SHOT_TLS = (("connect_us", 1), ("line_us", 7), COMMIT, ("tls_handshake_us", 1))  # EHLO, STARTTLS more


# Sums beside peers hold only what no server can do without, and each at its least. A connection
# has one line on the way that is its own; the others are counted. Of a commit at most all sessions
# have a share, and it costs no less than the largest one measured that they can fill.

def commit(sessions, size):
    if sessions == 1:
        return ("commit_4k_x1_us", 1)
    return ("commit_64k_x4_us" if sessions * size >= 65536 else "commit_4k_x4_us", 1 / sessions)


def mail(sessions, size, lines=4):
    """MAIL, RCPT, DATA and the text: each waits for its answer, as a line does."""
    return ("line_us", lines), *text(size), commit(sessions, size)


FLAGS_BYTES = 40  # a change of flags, of whatever form: all sessions together fill no large commit
LINE = (("line_us", 1),)
CONNECTED = ("connect_us", 1)
LOGIN = (CONNECTED, ("line_us", 1))  # LOGIN, LOGOUT
LOGIN_TLS = (CONNECTED, ("line_us", 2), ("tls_handshake_us", 1), ("tls_line_us", 2))  # and the hellos
POP3 = (CONNECTED, ("line_us", 4), ("serve_10k_us", 10))  # USER, PASS, STAT, LIST, QUIT; RETR


NOT_SYNCED = ("Dovecot answers STORE before any sync (strace: none in 20 of them, maildir and mdbox), ringmail after "
              "it: the ratio sets a durable change beside one that is not.")

OPEN_ALREADY = "a session that selects the mailbox it has open; Dovecot then has its index mapped already."


def lines(quick=False):
    f = fills(quick)
    big = f["big"].messages
    count = "{:,}".format(big)
    imap = ("imap", "--op")
    step = ("--pipeline", "no")
    return [
        Line("smtp-kept", "SMTP, 1 KiB, 16 sessions kept, until readable in the mailbox", "smtp",
             ("smtp", "--size", "1K") + step, f["few"], 16, cpu_times=250, rate_times=60, ceiling=mail(16, 1024)),
        Line("smtp-128", "the same, 128 sessions", "smtp", ("smtp", "--size", "1K") + step, f["few"], 128,
             cpu_times=250, rate_times=60, ceiling=mail(128, 1024)),
        Line("smtp-oneshot", "SMTP, 1 KiB, one connection a message", "smtp",
             ("smtp", "--size", "1K", "--per-connection", "1") + step, f["few"], 16, cpu_times=150,
             ceiling=(CONNECTED,) + mail(16, 1024, 5)),  # EHLO and QUIT more
        Line("smtp-10rcpt", "SMTP, 10 KiB, 10 recipients", "smtp",
             ("smtp", "--size", "10K", "--recipients", "10") + step, f["few"], 16, cpu_times=500,
             ceiling=mail(16, 10240, 13)),
        Line("lmtp-1", "LMTP, 1 KiB, 1 connection", "lmtp", ("lmtp", "--size", "1K") + step, f["few"], 1, cpu_times=60,
             ceiling=mail(1, 1024)),
        Line("lmtp-16", "LMTP, 1 KiB, 16 connections", "lmtp", ("lmtp", "--size", "1K") + step, f["few"], 16,
             cpu_times=60, ceiling=mail(16, 1024)),
        Line("login", "IMAP login and logout", "imap", imap + ("login",), f["small"], 16, cpu_times=15, ceiling=LOGIN),
        Line("login-tls", "IMAP login and logout, full TLS handshake", "imaps", imap + ("login",), f["small"], 16,
             tls="implicit", cpu_times=8, ceiling=LOGIN_TLS),
        Line("noop", "IMAP NOOP", "imap", imap + ("noop",), f["small"], 16, cpu_times=25, ceiling=LINE),
        Line("append", "IMAP APPEND, 1 KiB, 16 connections", "imap", imap + ("append", "--size", "1K"), f["append"], 16,
             cpu_times=40, ceiling=LINE + text(1024) + (commit(16, 1024),)),  # LITERAL+
        Line("select", "login and SELECT of %s messages" % count, "imap", imap + ("select", "--per-connection", "1"),
             f["big"], cpu_times=20),
        Line("select-again", "SELECT of %s messages, again and again" % count, "imap", imap + ("select",), f["big"],
             cpu_times=20, ceiling=LINE, note=OPEN_ALREADY),
        Line("flags", "FETCH 1:* (FLAGS), %s messages, each" % count, "imap", imap + ("flags",), f["big"], per=big,
             cpu_times=8),
        Line("envelope", "FETCH 1:* (ENVELOPE ...), %s messages, each" % count, "imap", imap + ("envelope",), f["big"],
             per=big, cpu_times=10),
        Line("body-2k", "FETCH BODY[], 2 KiB, one by one", "imap", imap + ("body",), f["big"], cpu_times=10,
             ceiling=(("serve_2k_us", 1),)),
        Line("range-2k", "FETCH BODY[], 2 KiB, 500 at a time, each", "imap", imap + ("range", "--range", "500"), f["big"],
             per=500, cpu_times=6),
        Line("body-100k", "FETCH BODY[], 100 KiB, one by one", "imap", imap + ("body",), f["large"], cpu_times=6,
             ceiling=(("serve_100k_us", 1),)),
        Line("range-100k", "FETCH BODY[], 100 KiB, 50 at a time, each", "imap", imap + ("range", "--range", "50"),
             f["large"], per=50, cpu_times=4),
        Line("store-16", "STORE +FLAGS, 16 connections, small mailboxes", "imap", imap + ("store",), f["small"], 16,
             cpu_times=12, ceiling=LINE + (commit(16, FLAGS_BYTES),), note=NOT_SYNCED),
        Line("store-big", "STORE +FLAGS, one connection, %s messages" % count, "imap", imap + ("store",), f["big"],
             cpu_times=100, ceiling=LINE + (commit(1, FLAGS_BYTES),), note=NOT_SYNCED),
        Line("pop3", "POP3 session, ten messages of 10 KiB", "pop3", ("pop3", "--retr", "10"), f["small"], 16,
             cpu_times=20, ceiling=POP3),
        Line("search", "SEARCH BODY, %s messages of 2 KiB, no index" % count, "imap", imap + ("search",), f["big"],
             cpu_times=4),
        Line("idle-latency", "IDLE: final dot of a delivery to EXISTS", "imap", ("idle", "--rate", "10"), f["idle"],
             p50_us=2000, p99_us=10000, deliver="lmtp"),
        Line("noop-flood", "NOOP, 1,000 a second, beside SMTP at full rate (64 connections)", "imap",
             imap + ("noop", "--rate", "1000"), f["small"], p99_us=5000, flood=("smtp", ("smtp", "--size", "1K"), 64)),
        Line("idle-memory", "memory of a logged-in idle IMAP connection", "imap", ("idle",), f["ten"], kind="memory",
             memory_bytes=1024),
        Line("idle-memory-tls", "memory of a logged-in idle IMAP connection, TLS", "imaps", ("idle",), f["ten"],
             tls="implicit", kind="memory", memory_bytes=4096),
        Line("sum-smtp-kept", "SMTP, 10 KiB, sessions kept, PIPELINING", "smtp", ("smtp", "--size", "10K"), f["few"], 128,
             ceiling=KEPT, sum_percent=CEILING_PERCENT),
        Line("sum-smtp-oneshot", "SMTP, 1 KiB, one connection a message, step by step", "smtp",
             ("smtp", "--size", "1K", "--per-connection", "1") + step, f["few"], 16, ceiling=ONE_SHOT,
             sum_percent=CEILING_PERCENT),
        Line("sum-smtp-tls", "the same after STARTTLS with a full handshake", "smtp",
             ("smtp", "--size", "1K", "--per-connection", "1", "--tls-resume", "no") + step, f["few"], 16,
             tls="starttls", ceiling=ONE_SHOT_TLS, sum_percent=CEILING_PERCENT),
        Line("sum-fetch", "FETCH BODY[] of 10 KiB, in memory", "imap", imap + ("body",), f["small"], 128,
             ceiling=(("serve_10k_us", 1),), sum_percent=CEILING_PERCENT),
        Line("sum-fetch-tls", "the same over TLS", "imaps", imap + ("body",), f["small"], 128, tls="implicit",
             ceiling=(("serve_10k_us", 1), ("tls_10k_us", 1)), sum_percent=CEILING_PERCENT),
        Line("sum-noop", "IMAP NOOP", "imap", imap + ("noop",), f["small"], 128, ceiling=LINE,
             sum_percent=CEILING_PERCENT),
        Line("sum-noop-tls", "the same over TLS", "imaps", imap + ("noop",), f["small"], 128, tls="implicit",
             ceiling=LINE + (("tls_line_us", 1),), sum_percent=CEILING_PERCENT),
    ]


def target_text(line):
    """The target of a line, in words."""
    words = []
    if line.cpu_times:
        words.append("CPU ≤ 1/%g" % line.cpu_times)
    if line.rate_times:
        words.append("rate ≥ %g×" % line.rate_times)
    if line.p50_us:
        words.append("p50 < %g ms" % (line.p50_us / 1000))
    if line.p99_us:
        words.append("p99 < %g ms" % (line.p99_us / 1000))
    if line.memory_bytes:
        words.append("< %g KiB" % (line.memory_bytes / 1024))
    if line.sum_percent:
        words.append("≥ %d %% of the sum" % line.sum_percent)
    return ", ".join(words)
