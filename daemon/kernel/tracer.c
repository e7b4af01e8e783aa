#include "tracer_private.h"

#include "daemon/proc/breakpoints.h"
#include "daemon/proc/file.h"
#include "daemon/proc/procmaps.h"
#include "numbers.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "refusal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Breakpoints go within 0.1 s, all together; those of perf links one after the other, each in a
 * tenth of a second (6.18), and behind those of whoever else let go of such links just before. */
#define PATIENCE_MS 3000
#define PERF_PATIENCE_MS 10000

#define BANKS_BYTES (2 * DHAT_MAX_MAPPINGS * sizeof(struct dhat_mapping))
#define SCRATCH_PER_CPU 4

static void choose_programs(struct dhat_bpf *bpf, enum uprobe_kind kind)
{
	/* with sessions, of places whose return nobody wants: struct uprobe_programs */
	int type = uprobe_attach_type(kind == UPROBE_SESSION ? UPROBE_MULTI : kind);

	bpf_program__set_autoload(bpf->progs.dhat_anchor, kind != UPROBE_PERF);
	bpf_program__set_autoload(bpf->progs.dhat_session, kind == UPROBE_SESSION);
	bpf_program__set_autoload(bpf->progs.dhat_return, kind != UPROBE_SESSION);
	bpf_program__set_expected_attach_type(bpf->progs.dhat_session,
					      uprobe_attach_type(UPROBE_SESSION));
	bpf_program__set_expected_attach_type(bpf->progs.dhat_entry, type);
	bpf_program__set_expected_attach_type(bpf->progs.dhat_return, type);
}

/* For `make bench` only, and so by no option. */
static uint8_t stacks_to_measure(void)
{
	const char *name = getenv("DHATD_BENCH_STACKS");

	if (name && strcmp(name, "kernel") == 0)
		return DHAT_STACKS_KERNEL;
	return name && strcmp(name, "none") == 0 ? DHAT_STACKS_NONE : DHAT_STACKS_TABLES;
}

/* Keeps P3: the last part of the ring is for records that take back, at least an eighth and, as far
 * as half of the ring holds them, RESERVED_FREES. New stacks, which are ten times as long, have
 * given way a quarter of the ring before. At a quarter the daemon is woken. */
#define RESERVED_FREES 4096
static void set_marks(struct dhat_bpf *bpf, uint64_t ring_bytes)
{
	uint64_t reserve = RESERVED_FREES * (BPF_RINGBUF_HDR_SZ + sizeof(struct dhat_record_free));

	if (reserve > ring_bytes / 2)
		reserve = ring_bytes / 2;
	if (reserve < ring_bytes / 8)
		reserve = ring_bytes / 8;
	bpf->rodata->cfg_alloc_mark = ring_bytes - reserve;
	bpf->rodata->cfg_stack_mark = ring_bytes - reserve - ring_bytes / 4;
	bpf->rodata->cfg_wake_mark = ring_bytes / 4;
}

static int load(struct tracer *tracer, const struct tracer_options *options, struct dhat_error *err)
{
	struct dhat_bpf *bpf = tracer->bpf;
	int cpus = libbpf_num_possible_cpus(), error;
	uint32_t tgid, own, namespace;

	if (cpus < 1)
		cpus = 1;
	error = numbers_namespace(&namespace, err);
	if (!error)
		error = numbers_initial(options->pid, &tgid, err);
	if (!error)
		error = numbers_initial(getpid(), &own, err);
	if (error)
		return error;
	bpf->rodata->cfg_tgid = tgid;
	bpf->rodata->cfg_namespace = namespace;
	bpf->rodata->cfg_daemon = own;
	set_marks(bpf, options->ring_bytes);
	bpf->rodata->cfg_stacks = stacks_to_measure();
	bpf->rodata->cfg_scratch_count = cpus * SCRATCH_PER_CPU;
	bpf->data->closes_on_exec = options->closes_on_exec;
	bpf->bss->anchor_tid = tracer->anchor;
	bpf_map__set_max_entries(bpf->maps.ring, options->ring_bytes);
	bpf_map__set_max_entries(bpf->maps.scratch, cpus * SCRATCH_PER_CPU);
	bpf_map__set_max_entries(bpf->maps.stacks, options->max_stacks ?: TRACER_MAX_STACKS);
	bpf->rodata->cfg_writes_registers = options->writes_registers;
	if (options->writes_registers)
		tracer->place_room = DHAT_MAX_PLACES;
	bpf_map__set_max_entries(bpf->maps.places, tracer->place_room ?: 1);
	choose_programs(bpf, options->kind);
	error = dhat_bpf__load(bpf);
	return error ? refusal_explain(error, (const char *)bpf->rodata->compiled_by, err) : 0;
}

static uint64_t map_bytes(const struct bpf_map *map, uint64_t cpus)
{
	uint64_t value = (bpf_map__value_size(map) + 7) & ~7u;

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_RINGBUF:
		return bpf_map__max_entries(map);
	case BPF_MAP_TYPE_ARRAY:
		return value * bpf_map__max_entries(map);
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		return value * bpf_map__max_entries(map) * cpus;
	case BPF_MAP_TYPE_HASH:
		return (uint64_t)BUCKET_BYTES * bpf_map__max_entries(map);
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		return sizeof(void *) * bpf_map__max_entries(map);
	default:
		return 0; /* a task's storage is of a few bytes, while it is in an allocator */
	}
}

static uint64_t kernel_bytes(const struct bpf_object *object)
{
	int cpus = libbpf_num_possible_cpus();
	struct bpf_program *program;
	struct bpf_map *map;
	uint64_t bytes = 0;

	bpf_object__for_each_map(map, object) bytes += map_bytes(map, cpus > 0 ? cpus : 1);
	bpf_object__for_each_program(program, object)
	{
		struct bpf_prog_info info = { 0 };
		uint32_t size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
			bytes += info.jited_prog_len + info.xlated_prog_len;
	}
	return bytes;
}

/* The lifecycle programs. */
static int attach_tracepoints(struct dhat_bpf *bpf, struct dhat_error *err)
{
	bpf->links.dhat_exec = bpf_program__attach(bpf->progs.dhat_exec);
	bpf->links.dhat_fork = bpf_program__attach(bpf->progs.dhat_fork);
	bpf->links.dhat_exit = bpf_program__attach(bpf->progs.dhat_exit);
	bpf->links.dhat_rename = bpf_program__attach(bpf->progs.dhat_rename);
	if (!bpf->links.dhat_exec || !bpf->links.dhat_fork || !bpf->links.dhat_exit ||
	    !bpf->links.dhat_rename)
		return dhat_error_errno(err, errno, "cannot watch for exec, fork and exit");
	return 0;
}

DEFINE_CLEANUP_PTR(struct tracer *, tracer_free)
DEFINE_CLEANUP_PTR(struct holder *, holder_free)

int tracer_new(const struct tracer_options *options, struct tracer **ret, struct dhat_error *err)
{
	_cleanup_(tracer_free_ptr) struct tracer *tracer = calloc(1, sizeof(*tracer));
	void *banks;
	int error;

	if (!tracer)
		return -ENOMEM;
	pthread_mutex_init(&tracer->anchor_lock, NULL);
	tracer->set_fd = -1;
	tracer->kind = options->kind;
	tracer->pid = options->pid;
	if (proc_living_thread(options->pid, &tracer->anchor))
		tracer->anchor = options->pid;
	tracer->bpf = dhat_bpf__open();
	if (!tracer->bpf)
		return dhat_error_errno(err, errno, "cannot open the BPF object");
	error = load(tracer, options, err);
	if (error == 0)
		tracer->bytes = kernel_bytes(tracer->bpf->obj);
	if (error == 0)
		error = holder_new(&tracer->links);
	if (error == 0)
		error = holder_new(&tracer->anchors);
	if (error)
		return error;
	error = attach_tracepoints(tracer->bpf, err);
	if (error)
		return error;
	banks = mmap(NULL, BANKS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_map__fd(tracer->bpf->maps.mappings), 0);
	if (banks == MAP_FAILED)
		return dhat_error_errno(err, errno, "cannot map the table of mappings");
	tracer->mappings = banks;
	if (options->sample_bytes) {
		error = tracer_prepare_sample(tracer);
		if (error)
			return dhat_error_errno(err, -error, "cannot make the set of a sample");
		tracer->bpf->bss->sample = dhat_sample_of(options->sample_bytes);
	}
	error = ring_open(bpf_map__fd(tracer->bpf->maps.ring), options->ring_bytes, &tracer->ring);
	if (error)
		return dhat_error_errno(err, -error, "cannot map the ring of %u bytes",
					options->ring_bytes);
	*ret = take_ptr(tracer);
	return 0;
}

static struct uprobe_programs programs_of(const struct tracer *tracer)
{
	const struct dhat_bpf *bpf = tracer->bpf;

	return (struct uprobe_programs){
		.entry = bpf_program__fd(tracer->kind == UPROBE_SESSION ? bpf->progs.dhat_session
									: bpf->progs.dhat_entry),
		.on_return = bpf_program__fd(bpf->progs.dhat_return),
		.plain =
			tracer->kind == UPROBE_SESSION ? bpf_program__fd(bpf->progs.dhat_entry) : 0,
	};
}

void tracer_free(struct tracer *tracer)
{
	if (!tracer)
		return;
	tracer_detach(tracer);
	holder_free(tracer->links);
	holder_free(tracer->anchors);
	footprint_deinit(&tracer->footprint);
	for (size_t i = 0; i < tracer->placed_count; i++) {
		free(tracer->placed[i].path);
		free(tracer->placed[i].sites);
	}
	free(tracer->placed);
	ring_close(tracer->ring);
	if (tracer->mappings)
		munmap(tracer->mappings, BANKS_BYTES);
	tracer_sample_deinit(tracer);
	dhat_bpf__destroy(tracer->bpf);
	free(tracer);
}

/* Places for those that bring an instruction: their cookies are those places' from now on. */
static int number_places(struct tracer *tracer, const char *path, struct uprobe_site *sites,
			 size_t count)
{
	struct stat file;

	if (stat(path, &file) < 0)
		return -errno;
	for (size_t i = 0; i < count; i++) {
		struct uprobe_site *site = &sites[i];
		struct dhat_place place = { .cookie = site->cookie,
					    .inode = file.st_ino,
					    .file_offset = site->file_offset,
					    .instruction = site->instruction };
		uint32_t number = tracer->place_count;

		if (!site->instruction.operation || number == tracer->place_room)
			continue;
		if (bpf_map_update_elem(bpf_map__fd(tracer->bpf->maps.places), &number, &place,
					BPF_ANY))
			return -errno;
		site->cookie = dhat_place_cookie(number);
		tracer->place_count++;
	}
	return 0;
}

static int remember(struct tracer *tracer, const char *path, const struct uprobe_site *sites,
		    size_t count)
{
	struct placed placed = { strdup(path), calloc(count, sizeof(*sites)), count };
	int error =
		array_make_room(&tracer->placed, &tracer->placed_capacity, tracer->placed_count);

	if (error || !placed.path || !placed.sites) {
		free(placed.path);
		free(placed.sites);
		return -ENOMEM;
	}
	memcpy(placed.sites, sites, count * sizeof(*sites));
	error = number_places(tracer, path, placed.sites, count);
	if (error) {
		free(placed.path);
		free(placed.sites);
		return error;
	}
	tracer->placed[tracer->placed_count++] = placed;
	return 0;
}

/* The links that hang on a thread: with perf events the probes themselves; else events that do
 * nothing, whose breakpoints are the others', too. */
static struct holder **hanging_links(struct tracer *tracer)
{
	return tracer->kind == UPROBE_PERF ? &tracer->links : &tracer->anchors;
}

static int hang(struct tracer *tracer, const struct placed *placed, pid_t anchor,
		struct holder *links, struct dhat_error *err)
{
	struct uprobe_programs programs = programs_of(tracer);
	_cleanup_free_ struct uprobe_site *sites = calloc(placed->count, sizeof(*sites));

	if (!sites)
		return -ENOMEM;
	memcpy(sites, placed->sites, placed->count * sizeof(*sites));
	if (tracer->kind != UPROBE_PERF) {
		programs.entry = bpf_program__fd(tracer->bpf->progs.dhat_anchor);
		for (size_t i = 0; i < placed->count; i++)
			sites[i].wants_return = false;
	}
	return uprobe_attach(UPROBE_PERF, &programs, anchor, placed->path, sites, placed->count,
			     links, err);
}

/* See uprobe_guard(). NULL: each offset is one place, or none can be had; placed will be all the
 * same. To be freed when that is done. */
static struct holder *make_guard(struct tracer *tracer, const struct placed *placed)
{
	const struct uprobe_programs programs = programs_of(tracer);
	_cleanup_(procmaps_deinit) struct procmaps maps = { 0 };
	struct holder *guard = NULL;
	bool is_twice = false;

	if (procmaps_read(tracer->pid, &maps))
		return NULL;
	for (size_t i = 0; i < placed->count && !is_twice; i++)
		is_twice = procmaps_is_twice(&maps, placed->sites[i].file_offset);
	if (is_twice && holder_new(&guard) == 0)
		uprobe_guard(tracer->kind, &programs, placed->path, placed->sites, placed->count,
			     guard);
	return guard;
}

static int place(struct tracer *tracer, const char *path, const struct uprobe_site *sites,
		 size_t count, struct dhat_error *err)
{
	_cleanup_(holder_free_ptr) struct holder *guard = NULL;
	struct uprobe_programs programs = programs_of(tracer);
	int error = remember(tracer, path, sites, count);
	const struct placed *placed;

	if (error)
		return error;
	placed = &tracer->placed[tracer->placed_count - 1];
	guard = make_guard(tracer, placed);
	error = footprint_add(&tracer->footprint, tracer->pid, placed->sites, count);
	if (error == 0 && tracer->kind != UPROBE_PERF)
		error = uprobe_attach(tracer->kind, &programs, tracer->pid, path, placed->sites,
				      count, tracer->links, err);
	if (error == 0 && (tracer->kind == UPROBE_PERF || tracer->anchor != tracer->pid))
		error = hang(tracer, placed, tracer->anchor, *hanging_links(tracer), err);
	return error;
}

int tracer_attach(struct tracer *tracer, const char *path, const struct uprobe_site *sites,
		  size_t count, struct dhat_error *err)
{
	int error;

	pthread_mutex_lock(&tracer->anchor_lock);
	error = place(tracer, path, sites, count, err);
	pthread_mutex_unlock(&tracer->anchor_lock);
	return error;
}

bool tracer_has_unread(const struct tracer *tracer)
{
	return __atomic_load_n(&tracer->bpf->bss->has_unread, __ATOMIC_RELAXED);
}

/* The memo is no truth: what is not in it is looked up. */
static void forget_row(const struct tracer *tracer, uint64_t pc)
{
	const struct unwind_memo none = { 0 };
	uint32_t number = unwind_memo_number(pc);

	bpf_map_update_elem(bpf_map__fd(tracer->bpf->maps.memo), &number, &none, BPF_ANY);
}

void tracer_read_unread(struct tracer *tracer)
{
	_cleanup_close_ int fd = -1;
	uint64_t code;

	if (!__atomic_exchange_n(&tracer->bpf->bss->has_unread, 0, __ATOMIC_SEQ_CST) ||
	    proc_open(tracer->pid, "mem", &fd))
		return;
	for (int i = 0; i < UNWIND_UNREAD; i++) {
		uint64_t pc =
			__atomic_exchange_n(&tracer->bpf->bss->unread_pcs[i], 0, __ATOMIC_SEQ_CST);

		/* as much as unwind_is_call() reads */
		if (pc && pread(fd, &code, sizeof(code), pc - 7) == sizeof(code))
			forget_row(tracer, pc);
	}
}

bool tracer_has_lost_anchor(struct tracer *tracer)
{
	return __atomic_load_n(&tracer->bpf->bss->anchor_has_left, __ATOMIC_RELAXED);
}

/* Before the number: only who has that sets the mark. */
static void tell_anchor(struct tracer *tracer, pid_t anchor)
{
	__atomic_store_n(&tracer->bpf->bss->anchor_has_left, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&tracer->bpf->bss->anchor_tid, anchor, __ATOMIC_SEQ_CST);
}

static bool is_placed(const struct tracer *tracer, uint64_t file_offset)
{
	for (size_t i = 0; i < tracer->placed_count; i++)
		for (size_t j = 0; j < tracer->placed[i].count; j++)
			if (tracer->placed[i].sites[j].file_offset == file_offset)
				return true;
	return false;
}

/* Are there places of ours where a breakpoint is now, and none was before? */
static bool had_gaps(const struct tracer *tracer, const struct breakpoints *before)
{
	struct breakpoints now = { 0 };
	bool had = false;
	int error = breakpoints_find(tracer->pid, &now);

	for (size_t i = 0, j = 0; i < now.count && !had; i++) {
		while (j < before->count && before->list[j].addr < now.list[i].addr)
			j++;
		had = (j == before->count || before->list[j].addr != now.list[i].addr) &&
		      is_placed(tracer, now.list[i].file_offset);
	}
	breakpoints_deinit(&now);
	return had || (error && error != -ESRCH);
}

/* The first that lives is the oldest: one that will live on, most likely. */
#define MAX_ANCHORS 16 /* that leave while we are at it */

static int find_anchor(struct tracer *tracer, struct dhat_error *err)
{
	int error = 0;

	for (int i = 0; i < MAX_ANCHORS && error == 0; i++) {
		_cleanup_(holder_free_ptr) struct holder *links = NULL;
		_cleanup_(breakpoints_deinit) struct breakpoints before = { 0 };
		pid_t anchor;

		error = proc_living_thread(tracer->pid, &anchor);
		if (error || anchor == tracer->anchor)
			return error;
		tell_anchor(tracer, anchor);
		error = holder_new(&links);
		if (error == 0 && tracer->kind != UPROBE_PERF &&
		    breakpoints_find(tracer->pid, &before))
			before = (struct breakpoints){ 0 }; /* then all count as gone */
		for (size_t j = 0; j < tracer->placed_count && error == 0; j++) {
			_cleanup_(holder_free_ptr) struct holder *guard = NULL;

			if (tracer->kind == UPROBE_PERF) /* else its breakpoints are there */
				guard = make_guard(tracer, &tracer->placed[j]);
			error = hang(tracer, &tracer->placed[j], anchor, links, err);
		}
		if (error)
			return error == -ESRCH ? 0 : error; /* it has left, and that is told, too */
		holder_free(*hanging_links(tracer));
		*hanging_links(tracer) = take_ptr(links);
		tracer->anchor = anchor;
		tracer->anchor_gaps += tracer->kind == UPROBE_PERF || had_gaps(tracer, &before);
	}
	return error;
}

int tracer_find_anchor(struct tracer *tracer, struct dhat_error *err)
{
	int error;

	pthread_mutex_lock(&tracer->anchor_lock);
	error = find_anchor(tracer, err);
	pthread_mutex_unlock(&tracer->anchor_lock);
	return error;
}

uint32_t tracer_anchor_gaps(const struct tracer *tracer)
{
	return tracer->anchor_gaps;
}

void tracer_open_gate(struct tracer *tracer)
{
	tracer->bpf->data->is_closed = 0;
}

void tracer_close_gate(struct tracer *tracer)
{
	tracer->bpf->bss->may_stop = 0; /* whoever is about to takes it back: stop.h */
	tracer->bpf->data->is_closed = 1;
}

void tracer_detach(struct tracer *tracer)
{
	bool has_perf = tracer->kind == UPROBE_PERF;

	if (!tracer->bpf)
		return;
	if (tracer->bpf->data)
		tracer_close_gate(tracer);
	if (tracer->links && tracer->anchors && holder_count(tracer->links)) {
		has_perf = has_perf || holder_count(tracer->anchors);
		/* Who found the gate open is done when a grace period has passed: our programs are
		 * readers of RCU. (With one CPU, or some that do not tick, this returns at once.)
		 */
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		holder_let_go(tracer->links, 0);
		holder_let_go(tracer->anchors, 0);
	}
	dhat_bpf__detach(tracer->bpf);
	footprint_wait(&tracer->footprint, tracer->pid, has_perf ? PERF_PATIENCE_MS : PATIENCE_MS);
	footprint_deinit(&tracer->footprint); /* waited for once */
}

bool tracer_is_pinned(const struct tracer *tracer)
{
	return holder_is_pinned(tracer->links) && holder_is_pinned(tracer->anchors);
}

void tracer_set_stops_on_change(struct tracer *tracer, bool stops)
{
	tracer->bpf->bss->may_stop = stops;
}

uint64_t tracer_bytes(const struct tracer *tracer)
{
	return tracer->bytes;
}

struct ring *tracer_ring(struct tracer *tracer)
{
	return tracer->ring;
}

int tracer_ring_fd(const struct tracer *tracer)
{
	return bpf_map__fd(tracer->bpf->maps.ring);
}

int tracer_counters(const struct tracer *tracer, uint64_t ret[DHAT_CTR_COUNT])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ uint64_t(*values)[DHAT_CTR_COUNT] =
		calloc(cpus > 0 ? cpus : 1, sizeof(*values));
	uint32_t zero = 0;

	if (!values)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(tracer->bpf->maps.counters), &zero, values))
		return -errno;
	memset(ret, 0, DHAT_CTR_COUNT * sizeof(*ret));
	for (int cpu = 0; cpu < cpus; cpu++)
		for (int i = 0; i < DHAT_CTR_COUNT; i++)
			ret[i] += values[cpu][i];
	return 0;
}

uint64_t tracer_misses(const struct tracer *tracer)
{
	struct bpf_program *program;
	uint64_t misses = 0;

	bpf_object__for_each_program(program, tracer->bpf->obj)
	{
		struct bpf_prog_info info = { 0 };
		uint32_t size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
			misses += info.recursion_misses;
	}
	return misses;
}

uint32_t tracer_epoch(const struct tracer *tracer)
{
	return __atomic_load_n(&tracer->bpf->bss->unwind_control.epoch, __ATOMIC_ACQUIRE);
}

void tracer_set_executable_bytes(struct tracer *tracer, uint64_t bytes)
{
	struct unwind_control *control = (struct unwind_control *)&tracer->bpf->bss->unwind_control;
	__u64 none = 0;

	__atomic_compare_exchange_n(&control->exec_pages, &none, bytes / DHAT_PAGE_BYTES, false,
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

void tracer_set_mappings(struct tracer *tracer, const struct dhat_mapping *mappings, size_t count,
			 uint32_t epoch)
{
	struct unwind_control *control = (struct unwind_control *)&tracer->bpf->bss->unwind_control;
	uint32_t active = control->active, bank = !(active & 1);
	uint32_t generation = (active >> 1) + 1;

	if (count > DHAT_MAX_MAPPINGS)
		count = DHAT_MAX_MAPPINGS;
	memcpy(tracer->mappings + bank * DHAT_MAX_MAPPINGS, mappings, count * sizeof(*mappings));
	control->count[bank] = count;
	control->bank_epoch[bank] = epoch;
	__atomic_store_n(&control->active, generation << 1 | bank, __ATOMIC_RELEASE);
}

void tracer_forget_old_stacks(struct tracer *tracer)
{
	int fd = bpf_map__fd(tracer->bpf->maps.stacks);
	uint32_t epoch = tracer_epoch(tracer), value;
	uint64_t counters[DHAT_CTR_COUNT], key, next;
	bool has_key;

	if (tracer_counters(tracer, counters) ||
	    counters[DHAT_CTR_STACKS] - tracer->stacks_when_forgot < TRACER_STACKS_TO_FORGET)
		return;
	tracer->stacks_when_forgot = counters[DHAT_CTR_STACKS];
	has_key = bpf_map_get_next_key(fd, NULL, &key) == 0;
	while (has_key) {
		has_key = bpf_map_get_next_key(fd, &key, &next) == 0;
		if (bpf_map_lookup_elem(fd, &key, &value) == 0 && value != epoch)
			bpf_map_delete_elem(fd, &key);
		key = next;
	}
}

int tracer_set_table(struct tracer *tracer, uint32_t slot, int map_fd)
{
	int outer = bpf_map__fd(tracer->bpf->maps.tables);

	if (map_fd < 0)
		return bpf_map_delete_elem(outer, &slot) ? -errno : 0;
	return bpf_map_update_elem(outer, &slot, &map_fd, BPF_ANY) ? -errno : 0;
}
