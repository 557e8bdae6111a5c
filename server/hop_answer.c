/* hop_answer.c -- answers, of the hop and of this side. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/hop_state.h"

/* For when there is no memory: a mail that was taken stays taken. */
static const struct hop_answer taken = {
    .code = 250, .status = {2, 0, 0}, .len = 2, .text = "OK"};
static const struct hop_answer not_noted = {
    .status = {4, 3, 0}, .ours = true, .len = 13, .text = "out of memory"};

void hop_answer_ours(struct hop_answer *a, unsigned code, struct hop_status status,
    const char *format, ...)
{
    char text[HOP_TEXT_MAX];
    struct out out = out_of(a->text, sizeof a->text);
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    smtp_clean(&out, slice_str(text));
    a->code = (uint16_t)code;
    memcpy(a->status, status.at, sizeof a->status);
    a->ours = true;
    a->len = (uint16_t)out.len;
}

void hop_answer_theirs(struct hop_answer *a, const struct smtp_answer *answer)
{
    a->code = answer->code;
    memcpy(a->status, answer->status, sizeof a->status);
    if (a->status[0] == 0)
        a->status[0] = (uint8_t)(answer->code / 100);
    a->ours = false;
    a->len = answer->len;
    memcpy(a->text, answer->text, answer->len);
}

static bool same(const struct hop_answer *a, const struct hop_answer *b)
{
    return a->code == b->code && a->ours == b->ours &&
        memcmp(a->status, b->status, sizeof a->status) == 0 &&
        slice_eq(slice_of(a->text, a->len), slice_of(b->text, b->len));
}

/* Hops mostly say the same to all: it is kept once. */
const struct hop_answer *hop_note(struct hop_work *w, const struct hop_answer *answer)
{
    struct hop_noted *noted = w->answers;

    if (noted && same(&noted->answer, answer))
        return &noted->answer;
    noted = malloc(sizeof *noted);
    if (!noted)
        return answer->code / 100 == 2 ? &taken : &not_noted;
    noted->answer = *answer;
    noted->next = w->answers;
    w->answers = noted;
    return &noted->answer;
}

void hop_forget(struct hop_noted *answers)
{
    while (answers) {
        struct hop_noted *next = answers->next;

        free(answers);
        answers = next;
    }
}
