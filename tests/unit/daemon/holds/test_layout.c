/* What a process's memory is, and what speaks against calling anything lost: from the kernel's own
 * texts. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "daemon/holds/hazards.h"
#include "daemon/holds/kernel_words.h"
#include "daemon/holds/layout.h"
#include "daemon/holds/left_stack.h"
#include "proto/base/cleanup.h"
#include "proto/base/texts.h"

static const char maps_text[] =
	"555500000000-555500001000 r-xp 00000000 fe:00 10                 /usr/bin/service\n"
	"555500001000-555500002000 r--p 00001000 fe:00 10                 /usr/bin/service\n"
	"555500002000-555500003000 rw-p 00002000 fe:00 10                 /usr/bin/service\n"
	"555500003000-555500005000 rw-p 00000000 00:00 0 \n"
	"555500100000-555500200000 rw-p 00000000 00:00 0                  [heap]\n"
	"7eff00000000-7eff00001000 rwxp 00003000 fe:00 11                 /usr/lib/plugin.so\n"
	"7f0000000000-7f0000021000 rw-p 00000000 00:00 0 \n"
	"7f0000021000-7f0004000000 ---p 00000000 00:00 0 \n"
	"7f0010000000-7f0010001000 ---p 00000000 00:00 0 \n"
	"7f0010001000-7f0010801000 rw-p 00000000 00:00 0 \n"
	"7f0020000000-7f0020001000 ---p 00000000 00:00 0 \n"
	"7f0020001000-7f0020801000 rw-p 00000000 00:00 0 \n"
	"7f0030000000-7f0030010000 rw-p 00000000 00:00 0 \n"
	"7f0040000000-7f0040010000 rw-s 00000000 00:01 77                 /memfd:pool (deleted)\n"
	"7f0041000000-7f0041010000 r--s 00000000 fe:00 78                 /var/lib/data\n"
	"7f0050000000-7f0050001000 rw-s 00000000 00:06 79                 /dev/device\n"
	"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                  [stack]\n"
	"7ffc00100000-7ffc00104000 r--p 00000000 00:00 0                  [vvar]\n"
	"7ffc00104000-7ffc00106000 r-xp 00000000 00:00 0                  [vdso]\n";

struct process {
	struct procmaps maps;
	struct smaps smaps;
	struct reach_block blocks[4];
	size_t block_count;
	struct dhat_thread_state threads[2];
	uint64_t left_stacks[2];
	size_t thread_count;
};

static void parse(struct process *process, const char *text, const char *smaps)
{
	_cleanup_fclose_ FILE *file = tmpfile();

	assert_non_null(file);
	fputs(smaps, file);
	rewind(file);
	assert_int_equal(procmaps_parse(text, strlen(text), &process->maps, NULL), 0);
	assert_int_equal(smaps_parse(file, &process->smaps), 0);
}

static const char smaps_text[] =
	"7f0050000000-7f0050001000 rw-s 00000000 00:06 79                 /dev/device\n"
	"Rss:                   4 kB\n"
	"VmFlags: rd wr sh mr mw me ms pf io de dd sd \n";

static void process_init(struct process *process)
{
	*process = (struct process){ 0 };
	parse(process, maps_text, smaps_text);
	process->blocks[process->block_count++] =
		(struct reach_block){ 0x7f0000000100, 64, 1, 1, 0 };
	/* main, and a thread on the second of the two stacks */
	process->threads[0].words[DHAT_REGISTER_SP] = 0x7ffc00010000;
	process->threads[1].words[DHAT_REGISTER_SP] = 0x7f0020700000;
	process->thread_count = 2;
}

static void process_deinit(struct process *process)
{
	procmaps_deinit(&process->maps);
	smaps_deinit(&process->smaps);
}

static void make(const struct process *process, struct layout *ret)
{
	const struct layout_facts facts = { &process->maps,	 &process->smaps,
					    process->blocks,	 process->block_count,
					    process->threads,	 process->thread_count,
					    process->left_stacks };

	assert_int_equal(layout_make(&facts, ret), 0);
}

static int class_at(const struct layout *layout, uint64_t addr)
{
	const struct layout_area *area = layout_find(layout, addr);

	return area ? (int)area->class : -1;
}

static void each_mapping_is_what_it_is(void **state)
{
	struct layout layout;
	struct process process;

	process_init(&process);
	make(&process, &layout);
	assert_int_equal(class_at(&layout, 0x555500000000), -1); /* code */
	assert_int_equal(class_at(&layout, 0x555500001000),
			 REACH_GLOBAL); /* relocated, then read-only */
	assert_int_equal(class_at(&layout, 0x555500002ff8), REACH_GLOBAL);
	assert_int_equal(class_at(&layout, 0x555500004ff8), REACH_GLOBAL); /* bss */
	assert_int_equal(class_at(&layout, 0x555500100000), REACH_GAP);
	assert_int_equal(class_at(&layout, 0x7eff00000000), REACH_GLOBAL); /* data, if executable */
	assert_true(layout_find(&layout, 0x7eff00000000)->is_code);
	assert_false(layout_find(&layout, 0x7f0030000000)->is_code);
	assert_int_equal(class_at(&layout, 0x7f0000020000),
			 REACH_GAP); /* an arena: it has a block */
	assert_int_equal(class_at(&layout, 0x7f0010700000), REACH_ENDED);
	assert_int_equal(class_at(&layout, 0x7f0020700000 - DHAT_RED_ZONE_BYTES), REACH_STACK);
	assert_int_equal(class_at(&layout, 0x7f0020700000 - DHAT_RED_ZONE_BYTES - 8), REACH_BELOW);
	assert_int_equal(class_at(&layout, 0x7f0030000000), REACH_MAPPING);
	assert_int_equal(class_at(&layout, 0x7f0040000000), REACH_SHARED);
	assert_int_equal(class_at(&layout, 0x7f0041000000), -1); /* a file to be read */
	assert_int_equal(class_at(&layout, 0x7f0050000000), -1); /* a device */
	assert_int_equal(class_at(&layout, 0x7ffc0000fff0), REACH_STACK);
	assert_int_equal(class_at(&layout, 0x7ffc00000000), REACH_BELOW);
	assert_int_equal(class_at(&layout, 0x7ffc00100000), -1); /* the kernel's */
	assert_true(layout_has_stack_of(&layout, &process.threads[0]));
	process.threads[1].words[DHAT_REGISTER_SP] = 0x7f0041000000;
	assert_false(layout_has_stack_of(&layout, &process.threads[1]));
	layout_deinit(&layout);
	process_deinit(&process);
}

/* All of a stack holds then, also what may be of threads that have ended. */
static void without_threads_stacks_are_whole(void **state)
{
	struct layout layout;
	struct process process;

	process_init(&process);
	process.thread_count = 0;
	make(&process, &layout);
	assert_int_equal(class_at(&layout, 0x7ffc00000000), REACH_STACK);
	assert_int_equal(class_at(&layout, 0x7f0010700000), REACH_MAPPING);
	assert_int_equal(class_at(&layout, 0x7f0020001000), REACH_MAPPING);
	layout_deinit(&layout);
	process_deinit(&process);
}

/* A thread on its signal stack has left its own one, which looks like an ended thread's. */
static void a_thread_on_its_signal_stack(void **state)
{
	struct layout layout;
	struct process process;

	process_init(&process);
	process.threads[1].signal_stack = 0x7f0030000000;
	process.threads[1].signal_stack_bytes = 0x10000;
	process.threads[1].words[DHAT_REGISTER_SP] = 0x7f0030008000;
	make(&process, &layout);
	assert_int_equal(class_at(&layout, 0x7f0020700000), REACH_MAPPING);
	assert_int_equal(class_at(&layout, 0x7f0030009000), REACH_STACK);
	layout_deinit(&layout);
	/* where that ends is known: it is a stack, and what is below is left over */
	process.left_stacks[1] = 0x7f0020700000;
	make(&process, &layout);
	assert_int_equal(class_at(&layout, 0x7f0020700000), REACH_STACK);
	assert_int_equal(class_at(&layout, 0x7f0020700000 - DHAT_RED_ZONE_BYTES - 8), REACH_BELOW);
	assert_int_equal(class_at(&layout, 0x7f0030009000), REACH_STACK);
	assert_int_equal(class_at(&layout, 0x7f0010700000), REACH_ENDED); /* is another one's */
	layout_deinit(&layout);
	process_deinit(&process);
}

/* ---- what the kernel has written onto a signal stack ----------------------------------------- */

static char signal_stack[64 << 10] __attribute__((aligned(64)));
static uint64_t told[2], truth;
static volatile sig_atomic_t depth;

static void look_from_signal_stack(int number, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	const struct dhat_thread_state here = {
		.words[DHAT_REGISTER_SP] = (uintptr_t)&number,
		.signal_stack = (uintptr_t)signal_stack,
		.signal_stack_bytes = sizeof(signal_stack),
	};
	size_t count = (signal_stack + sizeof(signal_stack) - (char *)&number) / 8;
	int at = depth++;

	(void)info;
	count = count < LEFT_STACK_BYTES / 8 ? count : LEFT_STACK_BYTES / 8;
	if (at == 0)
		truth = uc->uc_mcontext.gregs[REG_RSP];
	if (left_stack_has(&here))
		told[at] = left_stack_pointer(
			&here, (const uint64_t *)(signal_stack + sizeof(signal_stack)) - count,
			count);
	if (at == 0)
		raise(SIGUSR2); /* and another one within */
}

static void the_kernel_says_where_a_stack_was_left(void **state)
{
	const stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	const struct sigaction action = { .sa_sigaction = look_from_signal_stack,
					  .sa_flags = SA_ONSTACK | SA_SIGINFO };
	const struct dhat_thread_state off = { .words[DHAT_REGISTER_SP] = 0x7ffc00010000 };

	(void)state;
	assert_int_equal(sigaltstack(&stack, NULL), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	assert_int_equal(sigaction(SIGUSR2, &action, NULL), 0);
	raise(SIGUSR1);
	assert_int_equal(depth, 2);
	assert_true(truth != 0);
	assert_true(told[0] == truth && told[1] == truth);
	assert_false(left_stack_has(&off));
}

static void new_memory_is_noticed_but_that_of_young_blocks(void **state)
{
	static const char grown[] =
		"7f0060000000-7f0060100000 rw-p 00000000 00:00 0 \n"
		"7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                  "
		"[stack]\n";
	const struct reach_block young = { 0x7f0060000010, 1000, 7, 1, 0 };
	struct layout before, now;
	struct process process, later = { 0 };

	process_init(&process);
	make(&process, &before);
	assert_false(layout_has_grown(&before, &before, NULL, 0, 5));
	parse(&later, grown, smaps_text);
	make(&later, &now);
	assert_true(layout_has_grown(&before, &now, NULL, 0, 5)); /* a stack, or a pool */
	layout_deinit(&now);
	later.blocks[later.block_count++] = young;
	make(&later, &now);
	assert_false(layout_has_grown(&before, &now, &young, 1, 5));
	assert_true(layout_has_grown(&before, &now, &young, 1, 8)); /* the block was there before */
	layout_deinit(&now);
	layout_deinit(&before);
	process_deinit(&process);
	process_deinit(&later);
}

/* ---- hazards --------------------------------------------------------------------------------- */

static bool tells(char *const *texts, const char *what)
{
	for (; texts && *texts; texts++)
		if (strstr(*texts, what))
			return true;
	return false;
}

static void hazards_have_a_sentence_each(void **state)
{
	static const struct {
		const char *maps, *smaps, *what;
	} cases[] = {
		{ "1000-2000 r-xp 00000000 fe:00 1 /usr/lib/jvm/lib/server/libjvm.so\n", "",
		  "Java collects garbage" },
		{ "1000-2000 r-xp 00000000 fe:00 1 /usr/bin/node\n", "",
		  "Node.js collects garbage" },
		{ "1000-2000 rw-s 00000000 00:0f 1 /[aio] (deleted)\n", "", "asynchronous I/O" },
		{ "1000-2000 rw-s 00000000 00:0f 1 /secretmem (deleted)\n", "", "memfd_secret" },
		{ "", "1000-2000 rw-p 00000000 00:00 0 \nVmFlags: rd wr um \n", "userfaultfd" },
		{ "", "1000-2000 rw-p 00000000 00:00 0 \nVmFlags: rd wr uw \n", "userfaultfd" },
		{ "", "1000-2000 rw-s 00000000 00:00 0 \nVmFlags: rd wr pf io \n", "a device" },
		{ "", "1000-2000 rw-p 00000000 00:00 0 \nVmFlags: rd wr mt \n", "MTE" },
		{ "1000-2000 r-xp 00000000 fe:00 1 /usr/lib/libasan.so.8\n", "", "a sanitizer" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct process process = { 0 };
		char **texts = NULL;

		parse(&process, cases[i].maps, cases[i].smaps);
		assert_int_equal(hazards_of_maps(&process.maps, &process.smaps, &texts), 0);
		if (!tells(texts, cases[i].what))
			fail_msg("nothing is said of: %s", cases[i].what);
		texts_free(texts);
		process_deinit(&process);
	}
}

static void a_service_has_none(void **state)
{
	static const char maps[] =
		"1000-2000 r-xp 00000000 fe:00 1 /usr/bin/nodeserver\n"
		"2000-3000 r-xp 00000000 fe:00 2 /usr/lib/x86_64-linux-gnu/libc.so.6\n";
	static const char smaps[] = "7ffc00100000-7ffc00104000 r--p 00000000 00:00 0 [vvar]\n"
				    "VmFlags: rd mr pf io de dd sd \n"
				    "7fffffffe000-7ffffffff000 --xp 00000000 00:00 0 [uprobes]\n"
				    "VmFlags: ex mr me dc io \n";
	struct process process = { 0 };
	char **texts = NULL;

	parse(&process, maps, smaps);
	assert_int_equal(hazards_of_maps(&process.maps, &process.smaps, &texts), 0);
	assert_null(texts);
	process_deinit(&process);
}

/* ---- the kernel's words ------------------------------------------------------------------------
 */

static void words_of_epoll_timers_and_rings(void **state)
{
	static const char epoll[] =
		"pos:\t0\nflags:\t02\nmnt_id:\t15\nino:\t1057\n"
		"tfd:        5 events:       19 data:     55d5c8b2a2a0  pos:0 ino:2a sdev:f\n"
		"tfd:        6 events: 80002019 data:                7  pos:0 ino:2b sdev:f\n"
		"tfd: events: data\n";
	static const char timers[] =
		"ID: 0\nsignal: 34/00007f3ab4000b70\nnotify: signal/pid.1\nClockID: 1\n"
		"ID: 1\nsignal: 10/000000000000002a\nnotify: none/pid.1\nClockID: 0\n";
	static const char uring[] = "SqThreadCpu:\t-1\nSQEs:\t1\n"
				    "    0: opcode:NOP, fd:0, addr:0xabcdef, user_data:4886718345\n"
				    "UserFiles:\t0\nUserBufs:\t2\n    0: 0x7f3ab4010000/65536\n"
				    "    1: 0x7f3ab4020000/4096\nPollList:\n";
	struct kernel_words words = { 0 };

	assert_int_equal(kernel_words_of_epoll(epoll, &words), 0);
	assert_int_equal(words.count, 2);
	assert_int_equal(words.list[0].value, 0x55d5c8b2a2a0);
	assert_int_equal(words.list[1].value, 7);
	assert_int_equal(kernel_words_of_timers(timers, &words), 0);
	assert_int_equal(words.count, 4);
	assert_int_equal(words.list[2].value, 0x7f3ab4000b70);
	assert_string_equal(words.list[2].name, "a timer");
	assert_int_equal(kernel_words_of_uring(uring, &words), 0);
	assert_int_equal(words.count, 6);
	assert_int_equal(words.list[5].value, 0x7f3ab4020000);
	assert_string_equal(words.list[5].name, "buffers of an io_uring");
	assert_int_equal(kernel_words_of_epoll("", &words), 0);
	assert_int_equal(words.count, 6);
	kernel_words_deinit(&words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_mapping_is_what_it_is),
		cmocka_unit_test(without_threads_stacks_are_whole),
		cmocka_unit_test(a_thread_on_its_signal_stack),
		cmocka_unit_test(the_kernel_says_where_a_stack_was_left),
		cmocka_unit_test(new_memory_is_noticed_but_that_of_young_blocks),
		cmocka_unit_test(hazards_have_a_sentence_each),
		cmocka_unit_test(a_service_has_none),
		cmocka_unit_test(words_of_epoll_timers_and_rings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
