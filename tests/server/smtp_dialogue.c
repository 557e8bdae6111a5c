#include "tests/server/smtp_dialogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The codes of the replies, and nothing else is there. */
void dialogue_codes(struct slice got, char *codes, size_t cap)
{
    struct out out = out_of(codes, cap - 1);

    while (got.len) {
        size_t end = slice_find(got, '\n');

        assert_true(end < got.len && end >= 4);
        if (got.at[3] == ' ') {
            out_put(&out, out.len ? S(" ") : S(""));
            out_put(&out, slice_of(got.at, 3));
        }
        slice_take(&got, end + 1);
    }
    codes[out.len] = '\0';
}

void dialogue_expect(struct fake_session *f, const char *want, const char *what)
{
    char codes[512];

    dialogue_codes(fake_output(f), codes, sizeof codes);
    if (strcmp(codes, want) == 0)
        return;
    fail_msg("%s: %s, not %s", what, codes, want);
}

struct fake_session *dialogue_begin(const struct dialogue *d)
{
    struct fake_session *f;

    fake_smtp_reset(d->protocol);
    fake.tls = d->tls;
    if (d->prepare)
        d->prepare();
    f = fake_smtp_open();
    fake_pump();
    dialogue_expect(f, fake_smtp.refusal[POLICY_CONNECT] ? "554" : "220", "greeting");
    return f;
}

void dialogue_end(struct fake_session *f)
{
    fake_die(f);
    fake_pump();
    assert_true(f->freed);
    assert_int_equal(fake.open, 0);
    assert_int_equal(fake_smtp.deliveries, 0);
    assert_int_equal(fake_smtp.chains, 0);
}

void dialogue_stored(const struct dialogue *d)
{
    char users[512] = "", envelopes[4096] = "";

    for (unsigned i = 0; i < fake_smtp.count; i++) {
        strcat(users, fake_smtp.messages[i].users);
        strcat(users, "\n");
        strcat(envelopes, fake_smtp.messages[i].envelopes);
    }
    assert_string_equal(users, d->users);
    if (d->envelopes)
        assert_string_equal(envelopes, d->envelopes);
    if (d->tail) {
        const struct fake_message *m = &fake_smtp.messages[fake_smtp.count - 1];
        size_t n = strlen(d->tail);

        assert_true(m->len > n);
        assert_memory_equal(m->bytes + m->len - n, d->tail, n);
        if (!fake_smtp.fields)
            assert_memory_equal(m->bytes, "Return-Path: <", 14);
    }
}

/* Turn `cut` in two pieces, the first of `at` octets; piece: all turns in such pieces. */
static void play(const struct dialogue *d, size_t cut, size_t at, size_t piece)
{
    struct fake_session *f = dialogue_begin(d);

    for (size_t i = 0; d->turns[i].send; i++) {
        struct slice send = slice_str(d->turns[i].send);

        if (i == cut)
            fake_send(f, slice_take(&send, at));
        while (piece && send.len > piece)
            fake_send(f, slice_take(&send, piece));
        fake_send(f, send);
        dialogue_expect(f, d->turns[i].codes, d->name);
    }
    dialogue_stored(d);
    dialogue_end(f);
}

void dialogues_play(const struct dialogue *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        play(&list[i], SIZE_MAX, 0, 0);
}

void dialogues_play_cut(const struct dialogue *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct dialogue *d = &list[i];

        for (size_t k = 0; d->turns[k].send; k++)
            for (size_t at = 0; at <= strlen(d->turns[k].send); at++)
                play(d, k, at, 0);
        for (size_t piece = 1; piece < 6; piece++)
            play(d, SIZE_MAX, 0, piece);
    }
}

void dialogues_die(const struct dialogue *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct dialogue *d = &list[i];
        size_t total = 0;

        for (size_t k = 0; d->turns[k].send; k++)
            total += strlen(d->turns[k].send);
        for (size_t n = 0; n < 2 * total; n++) {
            struct fake_session *f = dialogue_begin(d);
            size_t left = n / 2;

            for (size_t k = 0; d->turns[k].send && left; k++) {
                struct slice send = slice_str(d->turns[k].send);

                send.len = send.len < left ? send.len : left;
                left -= send.len;
                fake_send(f, send);
            }
            if (n % 2 && f->conn && !f->conn->closing)
                fake_eof(f);
            assert_true(fake_smtp.deliveries <= 1);
            dialogue_end(f);
        }
    }
}
