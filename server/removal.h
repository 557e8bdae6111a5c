/* removal.h -- carries out what DATA/removed asks (removal_list.h): the mail of each
 * account at the owner of the user, then the name in the list. */
#pragma once
#include "server/config.h"
#include "server/process.h"

struct removals;

/* `wake_fd`: an eventfd that is written when there is something for removals_turn(). */
struct removals *removals_open(
    const struct config *config, struct process *process, int wake_fd);
/* After process_stop(). */
void removals_close(struct removals *r);

/* Reads the list and starts what is not under way. False: `why`. */
bool removals_start(struct removals *r, struct out *why);
/* Carries out the whole list before anything listens: from thread_recover() of one
 * thread, when deliveries are recovered on all of them. done(t) is called when all have
 * been tried; what has failed is in the log and in the list. */
void removals_recover(
    struct removals *r, struct thread *t, void (*done)(struct thread *t));
/* True, once: that took names out of the list, so the accounts must be loaded again. */
bool removals_recovered(struct removals *r);
/* Takes what has finished. True: all that was started has, and names have left the list:
 * the accounts must be loaded again. */
bool removals_turn(struct removals *r);
unsigned removals_pending(const struct removals *r);
/* How many could not be carried out since the last start. */
unsigned removals_failed(const struct removals *r);
