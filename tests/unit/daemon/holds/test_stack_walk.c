/* Whose frame a word of a stack is in: this program's own stack, by its own tables. */
#include <fcntl.h>
#include <link.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "daemon/holds/thread_frames.h"
#include "daemon/object/cfi/cfi.h"
#include "proto/base/cleanup.h"

#define MAX_OBJECTS 64
#define FUNCTION_BYTES 1024 /* of each below, at most */

static struct cfi_table *tables[MAX_OBJECTS];
static struct dhat_mapping mappings[MAX_OBJECTS];
static struct unwinding_table words[MAX_OBJECTS];
static struct unwinding unwinding = { mappings, words, 0, MAX_OBJECTS };

static uint64_t code_low, code_high; /* of this program */
static int memory_fd;
static uint64_t false_addr; /* where another word is read than there is */
static uint64_t false_word;

static int read_own(void *unused, uint64_t addr, void *buffer, size_t size)
{
	if (pread(memory_fd, buffer, size, addr) != (ssize_t)size)
		return -1;
	if (false_addr >= addr && false_addr + sizeof(false_word) <= addr + size)
		memcpy((char *)buffer + (false_addr - addr), &false_word, sizeof(false_word));
	return 0;
}

static bool is_own_code(void *unused, uint64_t addr)
{
	return addr >= code_low && addr < code_high;
}

static const struct stack_walk_source source = { read_own, is_own_code, NULL };

/* ---- tables ---- */

static int take_object(struct dl_phdr_info *info, size_t size, void *unused)
{
	size_t at = unwinding.mapping_count;
	const char *path = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < info->dlpi_phnum && fd >= 0; i++) {
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
			continue;
		assert_int_equal(cfi_build(fd, 1u << 24, &tables[at], NULL), 0);
		mappings[at] = (struct dhat_mapping){
			.start = info->dlpi_addr + header->p_vaddr,
			.end = info->dlpi_addr + header->p_vaddr + header->p_memsz,
			.table_bias = info->dlpi_addr + tables[at]->first_page_vaddr,
			.table_slot = at,
			.kind = DHAT_MAPPING_TABLE,
		};
		words[at] =
			(struct unwinding_table){ tables[at]->words, tables[at]->word_count * 8ul };
		if (!*info->dlpi_name) {
			code_low = mappings[at].start;
			code_high = mappings[at].end;
		}
		assert_true(++unwinding.mapping_count < MAX_OBJECTS);
		break;
	}
	return 0;
}

static int compare_mappings(const void *a, const void *b)
{
	const struct dhat_mapping *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int make_tables(void **state)
{
	memory_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	dl_iterate_phdr(take_object, NULL);
	qsort(mappings, unwinding.mapping_count, sizeof(*mappings), compare_mappings);
	return 0;
}

static int free_tables(void **state)
{
	close(memory_fd);
	for (size_t i = 0; i < MAX_OBJECTS; i++)
		cfi_table_free(tables[i]);
	return 0;
}

/* ---- a stack ---- */

static struct walked_frame frames[STACK_WALK_MAX_FRAMES];
static size_t frame_count;

static void walk_from(const ucontext_t *context)
{
	struct stack_walker *walker = stack_walker_new(&unwinding, &source);
	struct dhat_thread_state thread = { 0 };

	assert_non_null(walker);
	thread.words[DHAT_REGISTER_PC] = context->uc_mcontext.gregs[REG_RIP];
	thread.words[DHAT_REGISTER_SP] = context->uc_mcontext.gregs[REG_RSP];
	thread.words[DHAT_REGISTER_FP] = context->uc_mcontext.gregs[REG_RBP];
	frame_count = stack_walk(walker, &thread, frames);
	stack_walker_free(walker);
}

/* Where the frame is that an address is in; -1: in none. */
static int frame_at(uintptr_t addr)
{
	int found = -1;

	for (size_t i = 0; i < frame_count; i++) {
		if (addr < frames[i].start || addr >= frames[i].end)
			continue;
		assert_int_equal(found, -1);
		found = i;
	}
	return found;
}

static bool is_of(int frame, uintptr_t function)
{
	return frame >= 0 && frames[frame].pc - function < FUNCTION_BYTES;
}

#define WALKS __attribute__((noinline, noclone))

/* As a number, of which no compiler says that it outlives the variable. */
static uintptr_t address_of(volatile uint64_t *word)
{
	uintptr_t addr;

	__asm__ volatile("" : "=r"(addr) : "0"(word) : "memory");
	return addr;
}

static uintptr_t inner_word, middle_word, outer_word;
static volatile bool is_from_signal;

static WALKS void inner(void)
{
	volatile uint64_t word[3] = { 1, 2, 3 };
	ucontext_t context;

	inner_word = address_of(&word[1]);
	getcontext(&context);
	walk_from(&context);
	inner_word = address_of(&word[1]);
}

static void handle(int number)
{
	inner();
}

/* Its frame is as long as it likes, so that its CFA is known by the frame pointer only. */
static WALKS void middle(size_t length)
{
	volatile char *place = __builtin_alloca(length);
	volatile uint64_t word[3] = { 1, 2, 3 };

	middle_word = address_of(&word[1]);
	place[length / 2] = 1;
	if (is_from_signal)
		raise(SIGUSR1);
	else
		inner();
	place[0] = 1;
	assert_int_equal(frame_at((uintptr_t)place), frame_at(middle_word));
}

static WALKS void outer(void)
{
	volatile uint64_t word[3] = { 1, 2, 3 };

	outer_word = address_of(&word[1]);
	middle(1000);
	outer_word = address_of(&word[1]);
}

static void test_whose_frame(void **state)
{
	uint64_t here;

	outer();
	assert_true(is_of(frame_at(inner_word), (uintptr_t)inner));
	assert_true(is_of(frame_at(middle_word), (uintptr_t)middle));
	assert_true(is_of(frame_at(outer_word), (uintptr_t)outer));
	assert_true(is_of(frame_at((uintptr_t)&here), (uintptr_t)test_whose_frame));
	assert_int_equal(frame_at(inner_word), 0);
	assert_int_equal(frame_at(outer_word), 2);
	assert_true(frame_count > 4); /* cmocka, main, and what calls that */
	for (size_t i = 0; i + 1 < frame_count; i++) {
		assert_int_equal(frames[i].end, frames[i + 1].start);
		assert_false(frames[i].is_outermost);
	}
	assert_true(frames[frame_count - 1].is_outermost);
}

static void test_behind_a_signal(void **state)
{
	struct sigaction action = { .sa_handler = handle }, before;
	int at;

	sigaction(SIGUSR1, &action, &before);
	is_from_signal = true;
	outer();
	is_from_signal = false;
	sigaction(SIGUSR1, &before, NULL);
	at = frame_at(middle_word);
	assert_true(is_of(frame_at(inner_word), (uintptr_t)inner));
	assert_true(at > 2 && is_of(at, (uintptr_t)middle));
	assert_true(is_of(frame_at(outer_word), (uintptr_t)outer));
}

static void test_without_proof(void **state)
{
	size_t whole, count;

	outer();
	whole = frame_count;
	/* what middle() returns to is no code: all that was found before is in doubt, too */
	false_addr = frames[1].end - 8;
	false_word = 0x10;
	outer();
	assert_int_equal(frame_count, 0);
	false_addr = 0;
	/* there is no table: frame pointers are not asked */
	for (count = 0; count < unwinding.mapping_count; count++)
		if (mappings[count].start == code_low)
			mappings[count].kind = DHAT_MAPPING_NO_TABLE;
	outer();
	assert_int_equal(frame_count, 0);
	for (count = 0; count < unwinding.mapping_count; count++)
		mappings[count].kind = DHAT_MAPPING_TABLE;
	outer();
	assert_int_equal(frame_count, whole);
}

static void test_who_has_run(void **state)
{
	const struct dhat_thread_state stood = { .switches = 7 }, ran = { .switches = 8 };
	const struct dhat_thread_state runs = { .switches = 7, .is_running = 1 };

	assert_false(thread_frames_has_run(&stood, &stood));
	assert_true(thread_frames_has_run(&stood, &ran));
	assert_true(thread_frames_has_run(&runs, &stood));
	assert_true(thread_frames_has_run(&stood, &runs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whose_frame),
		cmocka_unit_test(test_behind_a_signal),
		cmocka_unit_test(test_without_proof),
		cmocka_unit_test(test_who_has_run),
	};

	return cmocka_run_group_tests(tests, make_tables, free_tables);
}
