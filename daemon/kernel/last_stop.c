#include "last_stop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "holder.h"
#include "numbers.h"
#include "proto/base/cleanup.h"
#include "uprobe.h"

#include "bpf/ending.skel.h"

struct last_stop {
	struct ending_bpf *bpf;
	struct holder *links;
};

DEFINE_CLEANUP_PTR(struct last_stop *, last_stop_free)

void last_stop_free(struct last_stop *stop)
{
	if (!stop)
		return;
	holder_free(stop->links);
	ending_bpf__destroy(stop->bpf);
	free(stop);
}

static int place(struct last_stop *stop, pid_t pid, const char *path, uint64_t file_offset,
		 struct dhat_error *err)
{
	const struct uprobe_site site = { .file_offset = file_offset };
	struct uprobe_programs programs = { 0 };
	int error = ending_bpf__load(stop->bpf);

	if (error)
		return error;
	stop->bpf->links.notice_daemon = bpf_program__attach(stop->bpf->progs.notice_daemon);
	if (!stop->bpf->links.notice_daemon)
		return -errno;
	stop->bpf->bss->may_stop = 1;
	programs.entry = bpf_program__fd(stop->bpf->progs.stop_at_end);
	error = holder_new(&stop->links);
	return error ? error
		     : uprobe_attach(UPROBE_PERF, &programs, pid, path, &site, 1, stop->links, err);
}

int last_stop_new(pid_t pid, const char *path, uint64_t file_offset, struct last_stop **ret,
		  struct dhat_error *err)
{
	_cleanup_(last_stop_free_ptr) struct last_stop *stop = calloc(1, sizeof(*stop));
	uint32_t tgid, own;
	int error = stop ? numbers_initial(pid, &tgid, err) : -ENOMEM;

	if (error == 0)
		error = numbers_initial(getpid(), &own, err);

	if (error)
		return error;
	stop->bpf = ending_bpf__open();
	if (!stop->bpf)
		return dhat_error_errno(err, errno, "cannot open the BPF object");
	stop->bpf->rodata->cfg_tgid = tgid;
	stop->bpf->rodata->cfg_daemon = own;
	error = place(stop, pid, path, file_offset, err);
	if (error)
		return dhat_error_errno(err, -error,
					"cannot place a probe at the end of process %d", (int)pid);
	*ret = take_ptr(stop);
	return 0;
}

/* In this order, and whoever stops does it in the other one: bpf/stop.h. */
bool last_stop_end(struct last_stop *stop)
{
	__atomic_store_n(&stop->bpf->bss->may_stop, 0, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&stop->bpf->bss->has_come, __ATOMIC_SEQ_CST);
}

bool last_stop_has_come(const struct last_stop *stop)
{
	return __atomic_load_n(&stop->bpf->bss->has_come, __ATOMIC_ACQUIRE);
}
