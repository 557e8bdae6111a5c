/* Whatever a client sends, in whatever pieces: the session answers or hangs up, what is
 * stored has its trace fields and no bare line end (but binary text), and nothing is left
 * behind. The first two octets choose how the disk, the checks and the peer behave. */
#include <stdlib.h>

#include "proto/base/scan.h"
#include "server/config.h"
#include "tests/server/smtp_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct fake_message *m, bool binary)
{
    struct slice text = slice_of(m->bytes, m->len);

    CHECK(slice_starts_nocase(text, S("Return-Path: <")));
    CHECK(binary || scan_flaws(text, 0) == 0);
    CHECK(m->users[0] || m->envelopes[0]);
}

static void choose(unsigned how, unsigned more)
{
    static const enum protocol protocols[] = {
        PROTO_SMTP, PROTO_SUBMISSION, PROTO_LMTP, PROTO_SUBMISSION};
    struct config *config;

    fake_smtp_reset(protocols[(how & 1) | (more & 1) << 1]);
    config = fake_config();
    fake_smtp.busy_every = how & 2 ? 7 : 0;
    fake_smtp.status = how & 4 ? STATUS_NO_SPACE : STATUS_OK;
    fake.tls = how & 8;
    fake.clear_login = !(how & 8);
    config->trust.count = more & 2 ? 1 : 0;
    config->xclient_from.count = more & 4 ? 1 : 0;
    config->vrfy = config->expn = more & 8 ? 1 : 0;
    config->max_messages_connection = more & 16 ? 3 : 0;
    config->max_recipient_domains = more & 16 ? 2 : 0;
    fake_smtp.error_delay = more & 32 ? 10 : 0;
    for (unsigned i = 0; i < FAKE_STEPS; i++)
        fake_smtp.later[i] = more & 64;
    fake.quota = more & 128 ? 100 : 0;
    fake_smtp.user_status[1] = more & 128 ? STATUS_LIMIT : STATUS_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of((const char *)data, size);
    struct fake_session *f;
    unsigned how;
    bool binary;

    if (size < 2)
        return 0;
    how = (unsigned char)*slice_take(&in, 1).at;
    choose(how, (unsigned char)*slice_take(&in, 1).at);
    binary = memmem(in.at, in.len, "=", 1) != NULL; /* perhaps BODY=BINARYMIME */
    f = fake_smtp_open();
    f->high_water = how & 16 ? 40 : 0;
    while (in.len && f->conn && fake_smtp.count < FAKE_MESSAGES_MAX) {
        size_t n = how & 32 && in.len > 5 ? 5 : slice_find(in, '\n') + 1;

        fake_send(f, slice_take(&in, n < in.len ? n : in.len));
    }
    if (f->conn && how & 64)
        fake_eof(f);
    fake_die(f);
    fake_pump();
    CHECK(f->freed && fake.open == 0 && fake_smtp.deliveries == 0);
    CHECK(fake_smtp.chains == 0);
    for (unsigned i = 0; i < fake_smtp.count; i++)
        check_message(&fake_smtp.messages[i], binary);
    return 0;
}
