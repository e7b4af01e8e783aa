/* floor: places the probes that dhatd would place on malloc, calloc, realloc and free, at their
 * entries and returns, with programs that do nothing.
 *
 * floor PID LINK empty|stack [LIBRARY]: LINK is session, multi or perf; LIBRARY is a part of the
 * path of the allocator's file, /libc.so.6 if none is told. Says "attached" on stdout and keeps the
 * probes until its stdin ends. stack: bpf_get_stack at each allocation; at the end prints the
 * frames of a stack.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/kernel/uprobe.h"
#include "daemon/object/sites/allocators.h"
#include "daemon/proc/procmaps.h"
#include "proto/base/cleanup.h"
#include "tests/bench/floor.skel.h"

#define MAX_PLACES 8

struct places {
	struct uprobe_site gives[MAX_PLACES], takes[MAX_PLACES];
	size_t give_count, take_count;
	char path[64]; /* the library by way of the target's mapping */
};

static int find_library(int pid, const char *name, char *path, size_t size)
{
	struct procmaps maps = { 0 };
	int error = procmaps_read(pid, &maps);

	if (error)
		return error;
	error = -ENOENT;
	for (size_t i = 0; i < maps.count && error; i++) {
		const struct procmaps_entry *entry = &maps.entries[i];

		if (!entry->is_executable || !strstr(entry->path, name))
			continue;
		snprintf(path, size, "/proc/%d/map_files/%lx-%lx", pid, entry->start, entry->end);
		error = 0;
	}
	procmaps_deinit(&maps);
	return error;
}

/* As dhatd chooses them. */
static int find_sites(const char *library, struct places *ret, struct dhat_error *err)
{
	static const char *const names[] = { "malloc", "calloc", "realloc", "free", NULL };
	const struct allocator_options options = { .may_fork = true };
	_cleanup_close_ int fd = open(ret->path, O_RDONLY | O_CLOEXEC);
	struct allocator_site *sites = NULL;
	struct object *object = NULL;
	size_t count = 0;
	int error;

	if (fd < 0)
		return dhat_error_errno(err, errno, "cannot open %s", ret->path);
	error = object_describe(fd, names, NULL, &object, err);
	if (error)
		return error;
	error = allocators_find(object, library, &options, &sites, &count);
	for (size_t i = 0; i < count && error == 0; i++) {
		bool takes = sites[i].function.role == DHAT_ROLE_FREE;
		struct uprobe_site site = { .file_offset = sites[i].place_file_offset,
					    .wants_return = !takes };

		if (sites[i].is_refused || ret->give_count == MAX_PLACES ||
		    ret->take_count == MAX_PLACES)
			continue;
		if (takes)
			ret->takes[ret->take_count++] = site;
		else
			ret->gives[ret->give_count++] = site;
		fprintf(stderr, "floor: %s+%#lx: %s\n", sites[i].function.name,
			sites[i].place.offset, sites[i].place.instruction);
	}
	allocators_sites_free(sites, count);
	object_free(object);
	return error;
}

int main(int argc, char **argv)
{
	struct holder *holder = NULL;
	struct dhat_error err = { 0 };
	struct places sites = { 0 };
	struct bpf_program *program;
	struct floor_bpf *bpf;
	enum uprobe_kind kind;
	const char *library;
	bool with_stack;
	int pid, error;

	if (argc < 4 || argc > 5 || uprobe_kind_of_name(argv[2]) == UPROBE_KINDS) {
		fprintf(stderr, "usage: floor PID session|multi|perf empty|stack [LIBRARY]\n");
		return 2;
	}
	pid = atoi(argv[1]);
	kind = uprobe_kind_of_name(argv[2]);
	with_stack = strcmp(argv[3], "stack") == 0;
	library = argc > 4 ? argv[4] : "/libc.so.6";
	if (find_library(pid, library, sites.path, sizeof(sites.path)) ||
	    find_sites(library, &sites, &err)) {
		fprintf(stderr, "floor: no %s in %d %s\n", library, pid, err.message);
		return 1;
	}
	bpf = floor_bpf__open();
	if (!bpf)
		return 1;
	bpf->rodata->is_session = kind == UPROBE_SESSION;
	bpf_object__for_each_program(program, bpf->obj)
		bpf_program__set_expected_attach_type(program, uprobe_attach_type(kind));
	if (kind == UPROBE_SESSION)
		bpf_program__set_expected_attach_type(bpf->progs.floor_free,
						      uprobe_attach_type(UPROBE_MULTI));
	error = floor_bpf__load(bpf);
	if (error == 0) {
		struct bpf_program *at_malloc =
			with_stack ? bpf->progs.stack_entry : bpf->progs.floor_entry;
		struct uprobe_programs malloc_programs = { bpf_program__fd(at_malloc),
							   bpf_program__fd(bpf->progs.floor_return),
							   0 };
		int at_free = bpf_program__fd(bpf->progs.floor_free);
		struct uprobe_programs free_programs = { at_free, malloc_programs.on_return,
							 kind == UPROBE_SESSION ? at_free : 0 };

		error = holder_new(&holder);
		if (error == 0)
			error = uprobe_attach(kind, &malloc_programs, pid, sites.path, sites.gives,
					      sites.give_count, holder, &err);
		if (error == 0)
			error = uprobe_attach(kind, &free_programs, pid, sites.path, sites.takes,
					      sites.take_count, holder, &err);
	}
	if (error) {
		fprintf(stderr, "floor: %s (%s)\n", err.message, strerror(-error));
		return 1;
	}
	puts("attached");
	fflush(stdout);
	while (getchar() != EOF)
		;
	holder_free(holder);
	if (with_stack && bpf->bss->stacks)
		printf("%.1f frames\n", (double)bpf->bss->frames / bpf->bss->stacks);
	floor_bpf__destroy(bpf);
	return 0;
}
