#pragma once
/* notify: what a service manager and dhatd say to each other (sd_notify(3), sd_listen_fds(3)). */
#include <stdbool.h>
#include <stdint.h>

/* "READY=1", "STOPPING=1", which stay where they are: to whoever listens at $NOTIFY_SOCKET, if
 * anybody does. No answer. For one who does not take what is there already
 * (net.unix.max_dgram_qlen, 10 messages) it waits for two seconds, and goes on. */
void notify(const char *state);
/* What there was no room for then, if there is now. Is there something still? */
bool notify_again(void);
/* What comes again soon: waits for nobody. */
void notify_alive(const char *state);
/* "RELOADING=1", with the time that the manager asks for. */
void notify_reloading(void);
/* How long it waits for a sign of life ("WATCHDOG=1") before it takes us for dead; 0: it does not.
 */
uint64_t notify_watchdog_ns(void);
/* A unix socket that listens, bound by the manager; 0: it handed over none. Once; the caller owns
 * it. The variables are gone afterwards: they were meant for us. */
int notify_take_socket(void);
