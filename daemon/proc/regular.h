#pragma once
/* regular: open a file of which only the name is known, and that from somebody we do not trust.
 *
 * To open a device, a FIFO or a file of the kernel's may do something: start a watchdog, wind a
 * tape, wake who waits at the other end. So it is looked at first, by a descriptor that opens
 * nothing (O_PATH), and opened through that when it is a regular file.
 */

/* path_fd: O_PATH; it stays the caller's. A descriptor to read by, or -1 and errno: EINVAL when it
 * is something else, or what open(2) says. */
int regular_open(int path_fd);
