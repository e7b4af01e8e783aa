#pragma once
/* holder: keeps probe links so that nothing can spoil their removal.
 *
 * The kernel gives up taking a breakpoint out of a process, and leaves it there for ever, when the
 * task that closes a link has a fatal signal pending (seen in 6.12 to 7.3; 6.1 does so without a
 * word in its log). So a dhatd that is killed while it closes its links would leave probes behind.
 * A task that is already dying does not: its signal has been taken.
 *
 * H1: no link is ever let go by a task of ours that lives.
 *
 * Links are pinned in a bpffs of our own that is mounted nowhere. Its only reference is a
 * descriptor, which goes when we end, whatever ends us; a link that is unpinned is then let go by a
 * kernel worker, which no signal reaches. Where such a mount may not be had (it takes
 * CAP_SYS_ADMIN), or the kernel does that in the task that unpins (6.1), the links stay
 * descriptors, and a child is forked to hold them last and to die with them.
 */
#include <stdbool.h>
#include <stddef.h>

struct holder;

int holder_new(struct holder **ret);
/* Lets all go. NULL is allowed. */
void holder_free(struct holder *holder);

/* Takes the link. On failure, which is -ENOMEM only, it is still the caller's. */
int holder_keep(struct holder *holder, int link_fd);
/* How many are kept: for holder_let_go(). */
size_t holder_count(const struct holder *holder);
/* Let go of all but the first `kept`. The kernel may still be about it when this returns. */
void holder_let_go(struct holder *holder, size_t kept);

/* Are all links the kernel's to let go? From any thread. */
bool holder_is_pinned(const struct holder *holder);

/* Close descriptors that hold breakpoints and could not be pinned, keeping H1. Returns when those
 * are gone. */
void holder_close(const int *links, size_t count);
