#include "bench/micro/corpus.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/mime/encode.h"

enum { COPY_SLACK = 64 << 10 };

/* --- putting together ----------------------------------------------------- */

static struct out room_for(size_t bytes)
{
    return out_of(micro_take(bytes + COPY_SLACK), bytes + COPY_SLACK);
}

static struct corpus *corpus_of(struct out text)
{
    struct corpus *in = micro_take(sizeof *in);
    struct slice rest = out_slice(&text);

    if (text.full)
        micro_die("the input is longer than was thought");
    in->text = rest;
    in->arena = arena_of(64 << 20);
    in->copy = micro_take(text.len + COPY_SLACK);
    in->lines = micro_take((text.len / 2 + 1) * sizeof *in->lines);
    while (rest.len) {
        size_t lf = slice_find(rest, '\n');

        in->lines[in->line_count++] = slice_of(rest.at, lf - 1);
        slice_take(&rest, lf + 1);
    }
    return in;
}

void corpus_close(void *state)
{
    struct corpus *in = state;

    arena_reset(&in->arena);
    free((char *)in->text.at);
    free(in->lines);
    free(in->copy);
    free(in->more);
    free(in);
}

struct corpus *corpus_of_lines(const char *const *lines, unsigned count, size_t bytes)
{
    struct out out = room_for(bytes);

    for (unsigned i = 0; out.len < bytes; i++) {
        out_str(&out, lines[i % count]);
        out_put(&out, S("\r\n"));
    }
    return corpus_of(out);
}

/* --- text ----------------------------------------------------------------- */

static uint64_t draw(uint64_t *x)
{
    *x = *x * 6364136223846793005U + 1442695040888963407U;
    return *x >> 33;
}

static void put_words(struct out *out, size_t bytes)
{
    static const char *const words[] = {"the", "of", "mail", "and", "server", "to",
        "message", "in", "a", "that", "is", "delivered", "with", "yesterday", "we",
        "please", "attached", "invoice", "for", "meeting", "regards", "on", "Monday",
        "question", "answer", "you", "have", "been", "it", "storage"};
    size_t end = out->len + bytes, column = 0;
    uint64_t x = 7;

    while (out->len < end) {
        const char *word = words[draw(&x) % (sizeof words / sizeof *words)];

        out_str(out, word);
        column += strlen(word) + 1;
        out_put(out, column > 66 ? S("\r\n") : S(" "));
        if (column > 66)
            column = 0;
    }
    out_put(out, S("\r\n"));
}

static void put_encoded(struct out *out, char encoding, size_t bytes)
{
    struct out plain = room_for(bytes);
    struct transfer_encoder e;
    struct slice in;

    put_words(&plain, bytes);
    in = out_slice(&plain);
    encoder_begin(&e, encoding);
    out->len += encoder_run(&e, &in, out->at + out->len, out->cap - out->len);
    out->len += encoder_end(&e, out->at + out->len);
    out_put(out, S("\r\n"));
    if (in.len)
        micro_die("no room for an encoded text");
    free(plain.at);
}

struct corpus *corpus_of_body(char encoding, size_t bytes)
{
    struct out out = room_for(2 * bytes);

    if (encoding == '7')
        put_words(&out, bytes);
    else
        put_encoded(&out, encoding, bytes);
    return corpus_of(out);
}

/* --- messages ------------------------------------------------------------- */

static const char header[] =
    "Return-Path: <anna.schmidt@example.org>\r\n"
    "Received: from mx2.example.org (mx2.example.org [192.0.2.17])\r\n"
    "\tby mail.example.net with ESMTPS id 4WQk7y2bXzz9sSp\r\n"
    "\tfor <bob@example.net>; Tue, 5 Mar 2024 09:14:07 +0100\r\n"
    "Received: from desk.example.org (unknown [203.0.113.9])\r\n"
    "\tby mx2.example.org (Postfix) with ESMTPSA id 7C1F2A0043\r\n"
    "\tfor <bob@example.net>; Tue, 5 Mar 2024 09:14:05 +0100\r\n"
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=2023;\r\n"
    "\tt=1709626445; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=;\r\n"
    "\th=Date:From:To:Subject:Message-ID:MIME-Version:Content-Type;\r\n"
    "\tb=JnSkvMmPJ0WTYWXi0zK8MZ0gBv2J7hM2fEwmJZ1x0Ze3lA9d8t4yQb5cRk6uVwLs\r\n"
    "\t pQe7fXr2sTn9mKcYhGzB4jDuWqAo1iLxVt8eNyJfRgS5wPb3MkHdCzUa6QlOvXjT==\r\n"
    "Authentication-Results: mail.example.net; dkim=pass header.d=example.org;\r\n"
    "\tspf=pass smtp.mailfrom=example.org; dmarc=pass header.from=example.org\r\n"
    "Message-ID: <d2f7b1e0-7a55-4c0e-9d43-3d9f6c1e8a21@example.org>\r\n"
    "Date: Tue, 5 Mar 2024 09:14:05 +0100\r\n"
    "MIME-Version: 1.0\r\n"
    "User-Agent: Mozilla Thunderbird\r\n"
    "Content-Language: en-GB\r\n"
    "From: =?UTF-8?Q?Anna_Schm=C3=ADdt?= <anna.schmidt@example.org>\r\n"
    "To: Bob Miller <bob@example.net>, \"Carol, Sales\" <carol@example.com>,\r\n"
    " dave@example.net\r\n"
    "Cc: Team <team@lists.example.org>\r\n"
    "In-Reply-To: <20240304171210.GA2210@example.net>\r\n"
    "References: <20240301093001.GA1377@example.net>\r\n"
    " <20240304171210.GA2210@example.net>\r\n"
    "Subject: Re: the meeting on Monday, and the invoice for storage\r\n";

struct slice corpus_header(void)
{
    return slice_str(header);
}

static void put_multipart(struct out *out, size_t bytes)
{
    size_t text = bytes / 16;

    out_put(out,
        S("Content-Type: multipart/mixed; boundary=\"=_outer42\"\r\n\r\n"
          "This is a multi-part message in MIME format.\r\n--=_outer42\r\n"
          "Content-Type: multipart/alternative; boundary=\"=_inner43\"\r\n\r\n"
          "--=_inner43\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n"));
    put_words(out, text);
    out_put(out,
        S("--=_inner43\r\nContent-Type: text/html; charset=UTF-8\r\n"
          "Content-Transfer-Encoding: quoted-printable\r\n\r\n"));
    put_encoded(out, 'q', text);
    out_put(out,
        S("--=_inner43--\r\n--=_outer42\r\n"
          "Content-Type: application/pdf; name=\"invoice.pdf\"\r\n"
          "Content-Disposition: attachment; filename=\"invoice.pdf\"\r\n"
          "Content-Transfer-Encoding: base64\r\n\r\n"));
    put_encoded(out, 'b', (bytes - 2 * text) / 4 * 3);
    out_put(out, S("--=_outer42--\r\n"));
}

struct corpus *corpus_of_message(enum corpus_message kind, size_t bytes)
{
    struct out out = room_for(2 * bytes);

    out_put(&out, corpus_header());
    if (kind == CORPUS_MULTIPART) {
        put_multipart(&out, bytes);
    } else {
        out_put(&out,
            S("Content-Type: text/plain; charset=UTF-8; format=flowed\r\n"
              "Content-Transfer-Encoding: 7bit\r\n\r\n"));
        put_words(&out, bytes > out.len ? bytes - out.len : 1);
    }
    return corpus_of(out);
}

/* --- references ----------------------------------------------------------- */

uint64_t corpus_memchr(void *state, uint64_t passes)
{
    const struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        micro_keep(in->text.at);
        micro_keep(memchr(in->text.at, '\1', in->text.len));
    }
    return passes * in->text.len;
}

uint64_t corpus_memchr_lines(void *state, uint64_t passes)
{
    const struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        const char *p = in->text.at, *end = p + in->text.len;

        while (p < end) {
            const char *lf = memchr(p, '\n', (size_t)(end - p));

            micro_keep(lf);
            p = lf + 1;
        }
    }
    return passes * in->text.len;
}

uint64_t corpus_memcpy(void *state, uint64_t passes)
{
    const struct corpus *in = state;

    for (uint64_t i = 0; i < passes; i++) {
        memcpy(in->copy, in->text.at, in->text.len);
        micro_keep(in->copy);
    }
    return passes * in->text.len;
}
