#pragma once
/* sample: a small snapshot for tests, with one of everything. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/profile/snapshot.h"
#include "proto/wire/frame.h"

/* The same message, owned as if it came from outside. */
static inline Dhat__SnapshotPart *sample_own(const Dhat__SnapshotPart *part)
{
	size_t size = dhat__snapshot_part__get_packed_size(part);
	uint8_t *bytes = malloc(size + 1);
	Dhat__SnapshotPart *owned;

	dhat__snapshot_part__pack(part, bytes);
	owned = (Dhat__SnapshotPart *)dhat_frame_unpack(&dhat__snapshot_part__descriptor, bytes,
							size);
	free(bytes);
	return owned;
}

static inline Dhat__SnapshotPart *sample_head(void)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__SnapshotHead head = DHAT__SNAPSHOT_HEAD__INIT;
	Dhat__Target target = DHAT__TARGET__INIT;
	Dhat__Mark mark[2], *marks[2];
	char *allocators[] = { "glibc 2.36 (libc.so.6)" }, *names[] = { "glibc 2.36" };
	char *threads[] = { "service", "worker-1", "worker-2" };

	target.pid = 4711;
	target.uid = 1000;
	target.command = "./service --name \"a\\b\" \x1b[31m\xff";
	target.executable = "/usr/bin/service";
	target.state = "attached";
	target.state_detail = "";
	target.observed_since_unix_ns = 1700000000000000000ull;
	target.observed_ns = 90000000000ull;
	target.allocators = allocators;
	target.n_allocators = 1;
	head.format_version = DHAT_SNAPSHOT_VERSION;
	head.tool_version = "0.1.0";
	head.kernel = "6.1.0";
	head.host = "host";
	head.target = &target;
	for (int i = 0; i < 2; i++)
		dhat__mark__init(marks[i] = &mark[i]);
	mark[0].name = "early";
	mark[0].ns = 30000000000;
	mark[0].live_bytes = 900100;
	mark[0].live_blocks = 901;
	mark[1].name = "late";
	mark[1].ns = 60000000000;
	mark[1].live_bytes = 400000;
	mark[1].live_blocks = 400;
	head.allocators = names;
	head.n_allocators = 1;
	head.threads = threads;
	head.n_threads = 3;
	head.marks = marks;
	head.n_marks = 2;
	head.has_ages = true;
	head.older_ns = 60000000000;
	head.lifetimes_since_ns = 30000000000;
	head.taken_unix_ns = 1700000090000000000ull;
	head.sample_rate = 1;
	part.part_case = DHAT__SNAPSHOT_PART__PART_HEAD;
	part.head = &head;
	return sample_own(&part);
}

/* Frames 1 … 5: with an inlined function, with an object only, without a name, in no file, and one
 * that renders as the first does. */
static inline Dhat__SnapshotPart *sample_frames(void)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__FrameBatch batch = DHAT__FRAME_BATCH__INIT;
	Dhat__Frame f[5], *frames[5];
	Dhat__Location l[3], *inlined[2] = { &l[0], &l[1] }, *plain[1] = { &l[2] };

	for (int i = 0; i < 3; i++)
		dhat__location__init(&l[i]);
	l[0].function = "std::vector<int>::push_back(int const&)";
	l[0].file = "/usr/include/c++/12/bits/stl_vector.h";
	l[0].line = 1281;
	l[0].column = 4;
	l[1].function = "Cache::insert(int)";
	l[1].file = "src/cache.cc";
	l[1].line = 12;
	l[2].function = "main";
	for (int i = 0; i < 5; i++) {
		dhat__frame__init(&f[i]);
		f[i].address = 0x55550000abc0 + i;
		f[i].object = "/usr/bin/service";
		f[i].object_vaddr = 0xabc0 + i;
		frames[i] = &f[i];
	}
	f[0].locations = f[4].locations = inlined;
	f[0].n_locations = f[4].n_locations = 2;
	f[1].locations = plain;
	f[1].n_locations = 1;
	f[3].object = "";
	f[4].address = f[0].address;
	batch.frames = frames;
	batch.n_frames = 5;
	part.part_case = DHAT__SNAPSHOT_PART__PART_FRAMES;
	part.frames = &batch;
	return sample_own(&part);
}

/* Points: a leak, churn, two that are one after rendering, one that ended early, blocks from
 * before, anonymous memory. */
#define SAMPLE_POINTS 7
#define SAMPLE_SLOTS 9 /* of ten seconds */
static inline Dhat__SnapshotPart *sample_points(void)
{
	static const uint64_t figures[SAMPLE_POINTS][9] = {
		/* tb tbk tl mb mbk gb gbk eb ebk */
		{ 1000000, 1000, 5000000, 1000000, 1000, 900000, 900, 1000000, 1000 },
		{ 5000000, 50000, 50000, 200, 2, 100, 1, 0, 0 },
		{ 300, 3, 3, 200, 2, 100, 1, 100, 1 },
		{ 500, 5, 5, 300, 3, 100, 1, 0, 0 },
		{ 4096, 1, 1, 4096, 1, 4096, 1, 4096, 1 },
		{ 0, 0, 7, 777, 7, 777, 7, 770, 6 },
		{ 8192, 2, 2, 8192, 2, 8192, 2, 8192, 2 },
	};
	static uint32_t stacks[SAMPLE_POINTS][3] = { { 1, 2 }, { 3, 2 }, { 4, 1, 2 }, { 4, 5, 2 },
						     { 1, 3 }, { 0 },	 { 1, 2 } };
	static uint64_t since_bytes[2][2] = { { 900000, 400000 }, { 100 } },
			since_blocks[2][2] = { { 900, 400 }, { 1 } };
	static uint32_t live_ages[25] = { [0] = 1, [18] = 299, [23] = 600, [24] = 100 },
			dead_ages[9] = { [0] = 20000, [8] = 9998 },
			live_sizes[12] = { [0] = 1, [1] = 2, [4] = 7, [10] = 90, [11] = 900 };
	static const size_t depths[SAMPLE_POINTS] = { 2, 2, 3, 3, 2, 0, 2 };
	/* the leak's floor rises by 100,000 bytes a slot; the third point's is level */
	static int64_t leak[SAMPLE_SLOTS] = { 0,      100000, 100000, 100000, 100000,
					      100000, 100000, 100000, 100000 };
	static int64_t level[SAMPLE_SLOTS] = { 0, 100 };
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__PointBatch batch = DHAT__POINT_BATCH__INIT;
	Dhat__ProgramPoint p[SAMPLE_POINTS], *points[SAMPLE_POINTS];

	for (int i = 0; i < SAMPLE_POINTS; i++) {
		dhat__program_point__init(&p[i]);
		p[i].total_bytes = figures[i][0];
		p[i].total_blocks = figures[i][1];
		p[i].lifetimes_us = figures[i][2];
		p[i].max_bytes = figures[i][3];
		p[i].max_blocks = figures[i][4];
		p[i].peak_bytes = figures[i][5];
		p[i].peak_blocks = figures[i][6];
		p[i].live_bytes = figures[i][7];
		p[i].live_blocks = figures[i][8];
		p[i].frames = stacks[i];
		p[i].n_frames = depths[i];
		p[i].stop = "complete";
		p[i].first_ns = 1000000000;
		p[i].last_ns = 89000000000;
		points[i] = &p[i];
	}
	p[0].since_bytes = since_bytes[0];
	p[0].since_blocks = since_blocks[0];
	p[0].n_since_bytes = p[0].n_since_blocks = 2;
	p[2].since_bytes = since_bytes[1];
	p[2].since_blocks = since_blocks[1];
	p[2].n_since_bytes = p[2].n_since_blocks = 1;
	p[0].live_ages = live_ages;
	p[0].n_live_ages = 25;
	p[0].live_sizes = live_sizes;
	p[0].n_live_sizes = 12;
	p[0].older_bytes = 100000;
	p[0].older_blocks = 100;
	p[1].dead_ages = dead_ages;
	p[1].n_dead_ages = 9;
	p[5].live_ages = live_ages; /* of which nobody knows */
	p[5].n_live_ages = 25;
	p[5].older_bytes = 770;
	p[5].older_blocks = 6;
	p[0].low_bytes = leak;
	p[2].low_bytes = level;
	p[0].n_low_bytes = p[2].n_low_bytes = SAMPLE_SLOTS;
	p[0].threads = 1 << 2 | 1 << 3;
	p[0].allocator = 1;
	p[0].mean_age_us = 44000000;
	p[2].mean_age_us = 88000000;
	p[2].longest_freed_us = 3;
	p[4].stop = "no rule";
	p[5].label = "[allocated before attach]";
	p[5].stop = "";
	p[6].kind = "mmap";
	batch.points = points;
	batch.n_points = SAMPLE_POINTS;
	part.part_case = DHAT__SNAPSHOT_PART__PART_POINTS;
	part.points = &batch;
	return sample_own(&part);
}

static inline Dhat__SnapshotPart *sample_end(void)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;
	Dhat__SnapshotEnd end = DHAT__SNAPSHOT_END__INIT;
	Dhat__Totals totals = DHAT__TOTALS__INIT;
	Dhat__Verdict verdict = DHAT__VERDICT__INIT;
	Dhat__Counter lost = DHAT__COUNTER__INIT, seen = DHAT__COUNTER__INIT;
	Dhat__Probe probe = DHAT__PROBE__INIT;
	Dhat__Counter *counters[] = { &seen, &lost };
	Dhat__Probe *probes[] = { &probe };
	Dhat__Timeline timeline = DHAT__TIMELINE__INIT;
	Dhat__PointSlots history = DHAT__POINT_SLOTS__INIT;
	uint64_t live[] = { 400000, 913365, 1013158 }, blocks[] = { 400, 913, 1010 };
	uint64_t allocations[] = { 20000, 20000, 11011 }, frees[] = { 19600, 19487, 10914 };
	uint64_t resident[] = { 0, 9000000, 9500000 };
	char *reasons[] = { "3 allocations were lost because the ring was full" };

	totals.total_bytes = 6013088;
	totals.total_blocks = 51011;
	totals.peak_bytes = 913365;
	totals.peak_blocks = 913;
	totals.peak_ns = 80000000000;
	totals.live_bytes = 1013158;
	totals.live_blocks = 1010;
	totals.end_ns = 90000000000;
	totals.stack_count = SAMPLE_POINTS;
	verdict.reasons = reasons;
	verdict.n_reasons = 1;
	seen.name = "allocs";
	seen.value = 51011;
	seen.meaning = "allocations recorded";
	lost.name = "drop_alloc";
	lost.value = 3;
	lost.meaning = "allocations lost: ring full";
	lost.is_loss = true;
	probe.function = probe.role = "malloc";
	probe.object = "/lib/x86_64-linux-gnu/libc.so.6";
	probe.function_vaddr = probe.site_vaddr = 0x98860;
	probe.instruction = "push r12";
	probe.is_emulated = true;
	probe.returns_by = probe.link = "session";
	probe.allocator = "glibc";
	end.totals = &totals;
	end.verdict = &verdict;
	end.counters = counters;
	end.n_counters = 2;
	end.probes = probes;
	end.n_probes = 1;
	timeline.slot_ns = 30000000000;
	timeline.live_bytes = timeline.most_bytes = live;
	timeline.live_blocks = blocks;
	timeline.allocations = allocations;
	timeline.frees = frees;
	timeline.rss_bytes = resident;
	timeline.n_live_bytes = timeline.n_most_bytes = timeline.n_live_blocks =
		timeline.n_allocations = timeline.n_frees = timeline.n_rss_bytes = 3;
	history.slot_ns = 10000000000;
	history.count = SAMPLE_SLOTS;
	end.timeline = &timeline;
	end.history = &history;
	part.part_case = DHAT__SNAPSHOT_PART__PART_END;
	part.end = &end;
	return sample_own(&part);
}

/* The whole of it; the caller frees. */
static inline struct dhat_snapshot *sample_snapshot(void)
{
	struct dhat_snapshot *snapshot = NULL;

	if (dhat_snapshot_new(&snapshot) < 0 ||
	    dhat_snapshot_add(snapshot, sample_head(), NULL) < 0 ||
	    dhat_snapshot_add(snapshot, sample_frames(), NULL) < 0 ||
	    dhat_snapshot_add(snapshot, sample_points(), NULL) < 0 ||
	    dhat_snapshot_add(snapshot, sample_end(), NULL) < 0 ||
	    dhat_snapshot_finish(snapshot, NULL) < 0)
		abort();
	return snapshot;
}
