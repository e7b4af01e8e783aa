#pragma once
/* container: in which container a process is, by the path of its control group (cgroups(7)).
 *
 * A container's runtime puts it into a control group that is called after it; nobody has to be
 *asked. Known are, with systemd's names and with plain ones:
 *
 *	/system.slice/docker-ID.scope, /docker/ID                        Docker
 *	…/kubepods-burstable-podUID.slice/cri-containerd-ID.scope        Kubernetes: containerd, …
 *	…/kubepods-burstable-podUID.slice/crio-ID.scope                  … CRI-O, …
 *	/kubepods/burstable/podUID/ID                                    … which does not say of
 *what runtime /machine.slice/libpod-ID.scope, …/libpod_parent/libpod-ID        Podman
 *	/machine.slice/systemd-nspawn@NAME.service/payload               systemd-nspawn
 *	/machine.slice/machine-NAME.scope                                … and others that tell
 *systemd-machined /lxc.payload.NAME, /lxc.payload/NAME, /lxc/NAME                  LXC
 *
 * Of containers in containers the innermost one counts. What stands beside a container and watches
 *it (conmon, nspawn's supervisor, lxc.monitor) is in none, nor is a virtual machine. The names are
 *the runtime's, or of who made the group: a process that has a control group of its own to fill can
 *pretend. Whoever reads them in a control group namespace of its own sees no more than what differs
 *from its own path: the pod may be missing.
 */
#include <stdbool.h>
#include <sys/types.h>

#define CONTAINER_ID_CHARS 65  /* 64 hexadecimal digits, or a machine's name, which is no longer */
#define CONTAINER_POD_CHARS 37 /* a UUID, or the 32 digits of a static pod */
#define CONTAINER_SHORT_DIGITS 12 /* of an ID, as all runtimes show it */

struct container {
	const char *runtime; /* "docker", "containerd", …; "container" where none is told */
	char id[CONTAINER_ID_CHARS];   /* "": in no container */
	char pod[CONTAINER_POD_CHARS]; /* Kubernetes: the pod's UID; "" */
};

/* Of the text of /proc/PID/cgroup. Pure. */
void container_parse(const char *text, struct container *ret);
/* What cannot be read is in no container. */
void container_of(pid_t pid, struct container *ret);

/* Is its ID one of digits, and not a machine's name? */
bool container_has_digits(const struct container *container);

/* Is it meant by a person's word: its ID or the first CONTAINER_SHORT_DIGITS or more of it, as
 * runtimes print it (docker://ID, too), its name, or its pod's UID? */
bool container_is_meant(const struct container *container, const char *word);
/* Can it be such a word? A shorter beginning would mean several some day. */
bool container_is_word(const char *word);
