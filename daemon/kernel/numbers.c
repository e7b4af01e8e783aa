#include "numbers.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/cleanup.h"

#include "bpf/numbers.skel.h"

/* include/linux/proc_ns.h: PROC_PID_INIT_INO */
#define INITIAL_NAMESPACE 0xEFFFFFFCu

DEFINE_CLEANUP_PTR(struct numbers_bpf *, numbers_bpf__destroy)

int numbers_namespace(uint32_t *ret, struct dhat_error *err)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st))
		return dhat_error_errno(err, errno, "cannot tell our pid namespace");
	*ret = st.st_ino;
	return 0;
}

static int read_number(const struct bpf_link *link, uint32_t *ret)
{
	_cleanup_close_ int fd = bpf_iter_create(bpf_link__fd(link));
	ssize_t size;

	if (fd < 0)
		return -errno;
	size = read(fd, ret, sizeof(*ret));
	if (size < 0)
		return -errno;
	return size == sizeof(*ret) ? 0 : -ESRCH;
}

/* Asked of the kernel, by a look at the task: no file tells it to a process outside. */
static int ask_number(pid_t pid, uint32_t *ret)
{
	_cleanup_(numbers_bpf__destroy_ptr) struct numbers_bpf *bpf = numbers_bpf__open_and_load();
	union bpf_iter_link_info info = { .task = { .tid = pid } };
	LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info,
		    .link_info_len = sizeof(info));

	if (!bpf)
		return -errno;
	bpf->links.tell_number = bpf_program__attach_iter(bpf->progs.tell_number, &options);
	return bpf->links.tell_number ? read_number(bpf->links.tell_number, ret) : -errno;
}

int numbers_initial(pid_t pid, uint32_t *ret, struct dhat_error *err)
{
	uint32_t namespace;
	int error = numbers_namespace(&namespace, err);

	if (error)
		return error;
	if (namespace == INITIAL_NAMESPACE) {
		*ret = pid;
		return 0;
	}
	error = ask_number(pid, ret);
	if (error == -ESRCH)
		return dhat_error_set(err, ESRCH, DHAT_EXIT_NO_PROCESS, "process %d has just ended",
				      (int)pid);
	if (error)
		return dhat_error_errno(err, -error,
					"cannot tell the number of process %d in the initial pid "
					"namespace",
					(int)pid);
	return 0;
}
