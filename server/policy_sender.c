/* policy_sender.c -- --sender-checks: a sender to whom no bounce could ever be sent.
 *
 * Off unless asked for: it makes the taking of mail depend on the DNS, so that a server
 * whose resolver is gone would put off everything; and the host of a sender is asked for
 * although most mail never bounces. Spam filters weigh this instead of judging by it.
 */
#include "server/accounts.h"
#include "server/config.h"
#include "server/mx.h"
#include "server/policy_check.h"

struct sender_state {
    struct mx_lookup lookup;
    struct policy *policy;
};

static bool wanted(const struct config *config)
{
    return config->sender_checks;
}

static unsigned steps(const struct config *config)
{
    (void)config;
    return 1u << POLICY_MAIL;
}

static enum policy_answer judge(struct policy *p, enum mx_status status)
{
    switch (status) {
    case MX_OK:
    case MX_LOOP: /* we are its host */
        return POLICY_PASS;
    case MX_NO_DOMAIN:
        return policy_refuse(p, S("550 5.1.8 The sender's domain does not exist\r\n"));
    case MX_NO_HOST:
    case MX_UNUSABLE:
    case MX_BAD_NAME:
        return policy_refuse(
            p, S("550 5.1.8 The sender's domain has no host for mail\r\n"));
    case MX_NULL: /* RFC 7505, 4.2 */
        return policy_refuse(p, S("550 5.7.27 The sender's domain takes no mail\r\n"));
    case MX_TRY_LATER:
        break;
    }
    return policy_refuse(
        p, S("451 4.1.8 The sender's domain can't be looked up now\r\n"));
}

static void on_found(struct mx_lookup *lookup)
{
    struct sender_state *s = container_of(lookup, struct sender_state, lookup);

    policy_answer(s->policy, judge(s->policy, lookup->status));
}

static enum policy_answer ask(struct policy *p, void *state, enum policy_step step,
    const struct policy_facts *facts)
{
    struct thread *t = policy_conn(p)->thread;
    struct sender_state *s = state;

    if (step != POLICY_MAIL || facts->trusted || facts->lmtp ||
        facts->sender->kind != SMTP_PATH_MAILBOX ||
        accounts_is_local(t->accounts, facts->sender->domain))
        return POLICY_PASS;
    s->policy = p;
    mx_find(&s->lookup, t, facts->sender->domain, on_found);
    return POLICY_PENDING;
}

static void cancel(struct policy *p, void *state)
{
    (void)p;
    mx_cancel(&((struct sender_state *)state)->lookup);
}

const struct policy_check policy_sender = {
    .name = "sender",
    .state_bytes = sizeof(struct sender_state),
    .wanted = wanted,
    .steps = steps,
    .ask = ask,
    .cancel = cancel,
};
