#include "discover.h"

#include "attempts.h"
#include "bpf/watch.skel.h"
#include "daemon/kernel/numbers.h"
#include "daemon/kernel/ring.h"
#include "daemon/proc/file.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES (1u << 16)
#define TRIES 10
#define TRY_INTERVAL_MS 100

struct discover {
	struct discover_options options;
	struct targets *targets;
	struct watch_bpf *bpf;
	struct ring *ring;
	regex_t regex;
	bool has_regex, has_thread;
	char cgroup[PATH_MAX]; /* as /proc/PID/cgroup names it, below the hierarchy's mount */
	pthread_t thread;
	int wake_fd;
	atomic_bool is_ending;
	struct attempts attempts;
	uint64_t lost;
};

/* ---- does it match? -------------------------------------------------------------------------- */

static bool matches_name(struct discover *discover, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	size_t size = 0;

	if (!discover->has_regex)
		return true;
	if (proc_read(pid, "cmdline", &text, &size) || size == 0)
		return false;
	for (size_t i = 0; i + 1 < size; i++)
		if (text[i] == '\0')
			text[i] = ' ';
	return regexec(&discover->regex, text, 0, NULL, 0) == 0;
}

/* Is path the folder, or below it? */
static bool is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	while (length > 0 && folder[length - 1] == '/')
		length--;
	return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/* Lines of /proc/PID/cgroup: "HIERARCHY:CONTROLLERS:PATH" (cgroups(7)). Which hierarchy was meant
 * is told by the end of the given path, where they differ by their mount points only. */
static bool matches_cgroup(struct discover *discover, pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;

	if (!discover->options.cgroup_path)
		return true;
	if (proc_read(pid, "cgroup", &text, NULL))
		return false;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char *path = strchr(line, ':');

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && is_below(path + 1, discover->cgroup))
			return true;
	}
	return false;
}

static bool matches(struct discover *discover, pid_t pid)
{
	return pid != getpid() && matches_cgroup(discover, pid) && matches_name(discover, pid);
}

/* ---- attaching ------------------------------------------------------------------------------- */

static bool is_attached(struct discover *discover, pid_t pid)
{
	struct target *target = NULL;
	bool is_active;

	if (targets_find(discover->targets, pid, &target, NULL))
		return false;
	is_active = target_state_of(target) == TARGET_ATTACHED;
	target_unref(target);
	return is_active;
}

/* Seconds later it may have loaded its C library; until then it has no allocator. */
static bool is_worth_another_try(const struct dhat_error *err)
{
	return err->code == DHAT_EXIT_NO_ALLOCATOR ||
	       err->code == DHAT_EXIT_ALREADY; /* by somebody else, who may yet fail */
}

/* true: perhaps later */
static bool try_attach(struct discover *discover, const struct attempt *attempt)
{
	struct target *target = NULL;
	struct dhat_error err = { 0 };

	if (!matches(discover, attempt->pid) || is_attached(discover, attempt->pid))
		return true; /* an exec may yet bring the name */
	if (targets_attach(discover->targets, attempt->pid, discover->options.target, &target,
			   &err) == 0) {
		if (discover->options.attached)
			discover->options.attached(discover->options.context, target);
		target_unref(target);
		return false;
	}
	if (is_worth_another_try(&err) && attempt->left > 1)
		return true;
	if (err.code != DHAT_EXIT_NO_PROCESS && err.code != DHAT_EXIT_ALREADY &&
	    discover->options.failed)
		discover->options.failed(discover->options.context, attempt->pid, &err);
	return false;
}

/* One that is begun once more may be tried as often as one that is new. */
static void add_attempt(struct discover *discover, pid_t pid, unsigned tries)
{
	const struct attempt attempt = { .pid = pid, .left = tries };

	attempts_add(&discover->attempts, &attempt);
}

static void scan_all(struct discover *discover)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    matches(discover, atoi(entry->d_name)))
			add_attempt(discover, atoi(entry->d_name), 1);
	if (dir)
		closedir(dir);
}

static void work_off(struct discover *discover)
{
	struct attempt attempt;

	while (attempts_take(&discover->attempts, clock_now_ns(CLOCK_MONOTONIC), &attempt))
		if (try_attach(discover, &attempt))
			attempts_again(&discover->attempts, &attempt,
				       clock_now_ns(CLOCK_MONOTONIC) +
					       TRY_INTERVAL_MS * 1000000ull);
}

static void take_pid(void *context, const void *record, size_t size)
{
	if (size >= sizeof(uint32_t))
		add_attempt(context, *(const uint32_t *)record, TRIES);
}

static void *watch(void *context)
{
	struct discover *discover = context;
	struct pollfd fds[] = {
		{ .fd = bpf_map__fd(discover->bpf->maps.begun), .events = POLLIN },
		{ .fd = discover->wake_fd, .events = POLLIN },
	};

	while (!atomic_load(&discover->is_ending)) {
		poll(fds, ARRAY_SIZE(fds), discover->attempts.count ? TRY_INTERVAL_MS : -1);
		ring_drain(discover->ring, SIZE_MAX, take_pid, discover);
		if (discover->bpf->bss->lost != discover->lost) {
			discover->lost = discover->bpf->bss->lost;
			scan_all(discover);
		}
		work_off(discover);
	}
	return NULL;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int compile_regex(struct discover *discover, struct dhat_error *err)
{
	int error;
	char why[128];

	if (!discover->options.name_regex)
		return 0;
	error = regcomp(&discover->regex, discover->options.name_regex, REG_EXTENDED | REG_NOSUB);
	if (error) {
		regerror(error, &discover->regex, why, sizeof(why));
		return dhat_error_set(err, EINVAL, DHAT_EXIT_USAGE, "--name '%s': %s",
				      discover->options.name_regex, why);
	}
	discover->has_regex = true;
	return 0;
}

/* "/sys/fs/cgroup/system.slice/x.service" → "/system.slice/x.service": what is left after the mount
 * point, where the device number changes. */
static int find_cgroup(struct discover *discover, struct dhat_error *err)
{
	const char *given = discover->options.cgroup_path;
	char path[PATH_MAX], procs[PATH_MAX + 16];
	struct stat here, above;

	if (!given)
		return 0;
	if (!realpath(given, path) ||
	    (snprintf(procs, sizeof(procs), "%s/cgroup.procs", path), access(procs, R_OK)))
		return dhat_error_set(
			err, ENOENT, DHAT_EXIT_USAGE,
			"--cgroup %s: no cgroup folder (with a cgroup.procs in it): look "
			"below /sys/fs/cgroup, or at /proc/PID/cgroup",
			given);
	stat(path, &here);
	for (size_t length = strlen(path); length > 1;) {
		char *slash = memrchr(path, '/', length);
		char kept;

		length = slash ? slash - path : 0;
		kept = path[length ? length : 1];
		path[length ? length : 1] = '\0';
		if (stat(path, &above) || above.st_dev != here.st_dev) {
			/* path is the mount's parent: what we look for begins after the next name
			 */
			path[length ? length : 1] = kept;
			slash = strchr(path + length + 1, '/');
			snprintf(discover->cgroup, sizeof(discover->cgroup), "%s",
				 slash ? slash : "/");
			return 0;
		}
		path[length ? length : 1] = kept;
	}
	snprintf(discover->cgroup, sizeof(discover->cgroup), "/");
	return 0;
}

DEFINE_CLEANUP_PTR(struct discover *, discover_free)

int discover_new(const struct discover_options *options, struct targets *targets,
		 struct discover **ret, struct dhat_error *err)
{
	_cleanup_(discover_free_ptr) struct discover *discover = calloc(1, sizeof(*discover));
	uint32_t namespace;
	int error;

	if (!discover)
		return dhat_error_errno(err, ENOMEM, "cannot watch for processes");
	discover->options = *options;
	discover->targets = targets;
	discover->wake_fd = eventfd(0, EFD_CLOEXEC);
	error = compile_regex(discover, err);
	if (error == 0)
		error = find_cgroup(discover, err);
	if (error)
		return error;
	discover->bpf = watch_bpf__open();
	if (!discover->bpf)
		return dhat_error_errno(err, errno, "cannot watch for new processes");
	error = numbers_namespace(&namespace, err);
	if (error)
		return error;
	discover->bpf->rodata->cfg_namespace = namespace;
	if (watch_bpf__load(discover->bpf) || watch_bpf__attach(discover->bpf))
		return dhat_error_errno(err, errno, "cannot watch for new processes");
	error = ring_open(bpf_map__fd(discover->bpf->maps.begun), RING_BYTES, &discover->ring);
	if (error)
		return dhat_error_errno(err, -error, "cannot watch for new processes");
	scan_all(discover);
	work_off(discover);
	error = -pthread_create(&discover->thread, NULL, watch, discover);
	if (error)
		return dhat_error_errno(err, -error, "cannot watch for new processes");
	discover->has_thread = true;
	*ret = take_ptr(discover);
	return 0;
}

void discover_free(struct discover *discover)
{
	uint64_t one = 1;

	if (!discover)
		return;
	atomic_store(&discover->is_ending, true);
	if (discover->has_thread && write(discover->wake_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(discover->thread, NULL);
	ring_close(discover->ring);
	watch_bpf__destroy(discover->bpf);
	if (discover->has_regex)
		regfree(&discover->regex);
	if (discover->wake_fd >= 0)
		close(discover->wake_fd);
	attempts_deinit(&discover->attempts);
	free(discover);
}
