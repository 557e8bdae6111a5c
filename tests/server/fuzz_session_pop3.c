/* Whatever a client sends after login: the session answers or hangs up, and nothing is
 * left behind. The first octet chooses how the store and the peer behave. */
#include "server/session_pop3.h"
#include "tests/server/imap_fake.h"

const struct session_calls *const fake_calls = &session_pop3_calls;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int pin_place;

struct store_pin *store_pin(struct store *store)
{
    (void)store;
    fake.open++;
    return (struct store_pin *)&pin_place;
}

void store_unpin(struct store *store, struct store_pin *pin)
{
    (void)store, (void)pin;
    fake.open--;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct fake_session *f;
    unsigned how;

    if (size == 0)
        return 0;
    how = (unsigned char)*slice_take(&in, 1).at;
    fake_reset();
    fake.async = how & 1;
    fake.piece_bytes = how & 2 ? 7 : 0;
    fake_message("INBOX", S("Subject: a\r\n\r\n.one\r\n..two\r\n"), 0, 0);
    fake_message("INBOX", S("Subject: b\r\n\r\nno end"), FLAG_SEEN, 0);
    f = fake_open();
    f->high_water = how & 4 ? 40 : 0;
    if (!(how & 8))
        fake_send(f, S("USER a\r\nPASS secret\r\n"));
    fake.fail_at = how & 64 ? fake.requests + 1 + (how >> 7) : 0;
    fake.fail_with = STATUS_IO;
    while (in.len && f->conn) {
        size_t n = how & 16 && in.len > 5 ? 5 : in.len;

        fake_send(f, slice_take(&in, n));
    }
    if (f->conn && how & 32)
        fake_eof(f);
    fake_die(f);
    fake_pump();
    CHECK(f->freed && fake.open == 0 && fake.loans == 0);
    return 0;
}
