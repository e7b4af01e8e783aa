#pragma once
/* notify: tells a service manager how far we are, by the protocol of sd_notify(3). */

/* "READY=1", "STOPPING=1". Without NOTIFY_SOCKET nothing happens, nor is anything said if it fails:
 * it is the manager's to wonder. */
void notify(const char *state);
