/* Whatever a client sends after login: the session answers or hangs up, and nothing is
 * left behind. The first octet chooses how the store and the peer behave. */
#include "server/session_imap.h"
#include "tests/server/imap_fake.h"

const struct session_calls *const fake_calls = &session_imap_calls;

static const char message[] =
    "From: a@b.example\r\nSubject: s\r\n"
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: in\r\n\r\ntwo\r\n--b--\r\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct fake_session *f, *other;
    unsigned how;

    if (size == 0)
        return 0;
    how = (unsigned char)*slice_take(&in, 1).at;
    fake_reset();
    fake.async = how & 1;
    fake.piece_bytes = how & 2 ? 7 : 0;
    fake_message("INBOX", slice_of(message, sizeof message - 1), 0, 1000000000);
    fake_message("INBOX", S("Subject: x\r\n\r\ny\r\n"), FLAG_SEEN, 0);
    f = fake_open();
    other = fake_open();
    f->high_water = how & 4 ? 40 : 0;
    fake_send(f, S("0 LOGIN a secret\r\n1 SELECT INBOX\r\n"));
    fake_send(other, S("0 LOGIN a secret\r\n1 SELECT INBOX\r\n2 IDLE\r\n"));
    if (how & 8) {
        fake.fail_at = fake.requests + (how >> 4);
        fake.fail_with = STATUS_IO;
    }
    while (in.len) {
        size_t n = how & 16 && in.len > 5 ? 5 : in.len;

        fake_send(f, slice_take(&in, n));
    }
    fake_die(f);
    fake_die(other);
    fake_pump();
    CHECK(f->freed && other->freed && fake.open == 0 && fake.loans == 0);
    return 0;
}
