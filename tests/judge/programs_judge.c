/* programs_judge: what the BPF programs ask of a kernel's verifier, beside the baseline.
 *
 *   programs_judge [--write] [BASELINE]        tests/golden/bpf_programs.txt
 *
 * Loads the programs of each kind of probe link and asks the kernel for their instructions and for
 * the instructions its verifier walked through. A change that doubles the verifier's work is seen
 * only as a refusal on an old kernel otherwise. The verified ones differ between kernels, so those
 * have room; exit 1 when a program is more than TOLERANCE_PERCENT above its line. --write makes the
 * file anew.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bpf/dhat_sample.h"
#include "bpf/unwind_types.h"
#include "daemon/kernel/uprobe.h"
#include "proto/base/cleanup.h"

#include "bpf/dhat.skel.h" /* uses types of the above */

#define TOLERANCE_PERCENT 10
#define VERIFIED_TOLERANCE_PERCENT 50
/* The baseline is what Debian 12's clang makes; clang 19 makes a quarter more instructions of the
 * same source. */
#define BASELINE_COMPILER "clang 14"
#define OTHER_TOLERANCE_PERCENT 50
#define OTHER_VERIFIED_TOLERANCE_PERCENT 100
#define MAX_PROGRAMS 32

struct program {
	char name[64];
	unsigned instructions, verified;
};

struct programs {
	struct program list[MAX_PROGRAMS];
	size_t count;
	bool is_other; /* by another compiler than the baseline */
};

static const struct program *find(const struct programs *programs, const char *name)
{
	for (size_t i = 0; i < programs->count; i++)
		if (!strcmp(programs->list[i].name, name))
			return &programs->list[i];
	return NULL;
}

/* As tracer.c chooses them. */
static int load_for(enum uprobe_kind kind, struct programs *programs)
{
	struct dhat_bpf *bpf = dhat_bpf__open();
	struct bpf_program *program;

	if (!bpf)
		return -1;
	programs->is_other = strcmp((const char *)bpf->rodata->compiled_by, BASELINE_COMPILER);
	bpf->rodata->cfg_scratch_count = 1;
	bpf_map__set_max_entries(bpf->maps.ring, 1 << 20);
	bpf_map__set_max_entries(bpf->maps.scratch, 1);
	bpf_program__set_autoload(bpf->progs.dhat_session, kind == UPROBE_SESSION);
	bpf_program__set_autoload(bpf->progs.dhat_entry, kind != UPROBE_SESSION);
	bpf_program__set_autoload(bpf->progs.dhat_return, kind != UPROBE_SESSION);
	bpf_program__set_expected_attach_type(bpf->progs.dhat_session, uprobe_attach_type(kind));
	bpf_program__set_expected_attach_type(bpf->progs.dhat_entry, uprobe_attach_type(kind));
	bpf_program__set_expected_attach_type(bpf->progs.dhat_return, uprobe_attach_type(kind));
	if (dhat_bpf__load(bpf)) {
		dhat_bpf__destroy(bpf);
		return -1;
	}
	bpf_object__for_each_program(program, bpf->obj)
	{
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);
		struct program *to = &programs->list[programs->count];

		if (bpf_program__fd(program) < 0 || programs->count == MAX_PROGRAMS ||
		    find(programs, bpf_program__name(program)) ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			continue;
		snprintf(to->name, sizeof(to->name), "%s", bpf_program__name(program));
		to->instructions = info.xlated_prog_len / 8;
		to->verified = info.verified_insns;
		programs->count++;
	}
	dhat_bpf__destroy(bpf);
	return 0;
}

static int read_baseline(const char *path, struct programs *ret)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file) && ret->count < MAX_PROGRAMS) {
		struct program *to = &ret->list[ret->count];

		if (sscanf(line, "%63s %u %u", to->name, &to->instructions, &to->verified) == 3)
			ret->count++;
	}
	return file ? 0 : -1;
}

static bool is_within(unsigned now, unsigned before, unsigned percent)
{
	return now <= before + before / 100.0 * percent;
}

int main(int argc, char **argv)
{
	bool writes = argc > 1 && !strcmp(argv[1], "--write");
	const char *path = argc > 1 + writes ? argv[1 + writes] : "tests/golden/bpf_programs.txt";
	struct programs now = { 0 }, before = { 0 };
	_cleanup_fclose_ FILE *file = NULL;
	int bad = 0;

	libbpf_set_print(NULL);
	if (load_for(UPROBE_SESSION, &now) && load_for(UPROBE_MULTI, &now))
		return fprintf(stderr, "no kind of link can be loaded: root?\n"), 1;
	load_for(UPROBE_PERF, &now);
	if (writes) {
		file = fopen(path, "we");
		if (!file)
			return perror(path), 1;
		for (size_t i = 0; i < now.count; i++)
			fprintf(file, "%-16s %6u %8u\n", now.list[i].name, now.list[i].instructions,
				now.list[i].verified);
		return 0;
	}
	if (read_baseline(path, &before))
		return perror(path), 1;
	printf("# %-16s %12s %12s\n", "program", "instructions", "verified");
	for (size_t i = 0; i < now.count; i++) {
		const struct program *program = &now.list[i], *was = find(&before, program->name);
		bool is_good =
			was &&
			is_within(program->instructions, was->instructions,
				  now.is_other ? OTHER_TOLERANCE_PERCENT : TOLERANCE_PERCENT) &&
			is_within(program->verified, was->verified,
				  now.is_other ? OTHER_VERIFIED_TOLERANCE_PERCENT
					       : VERIFIED_TOLERANCE_PERCENT);

		printf("# %-16s %6u (%u) %8u (%u)%s\n", program->name, program->instructions,
		       was ? was->instructions : 0, program->verified, was ? was->verified : 0,
		       is_good ? ""
			       : "  ABOVE THE BASELINE: lower it, or --write a new one and say "
				 "why");
		bad += !is_good;
	}
	return bad > 0 || now.count < 5;
}
