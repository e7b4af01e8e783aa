#include "left_stack.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "daemon/proc/pagemap.h"
#include "proto/base/cleanup.h"

/* struct ucontext (include/uapi/asm-generic/ucontext.h): its flags, a link, and uc_stack: ss_sp,
 * ss_flags, ss_size. Then the machine's: DHAT_SIGNAL_SP. In words behind ss_sp: */
#define STACK_BYTES_AT 16u
#define SIZE_WORD 2u
#define SP_WORD ((DHAT_SIGNAL_SP - STACK_BYTES_AT) / 8u)

static bool is_on(const struct dhat_thread_state *thread, uint64_t addr)
{
	return addr - thread->signal_stack < thread->signal_stack_bytes;
}

bool left_stack_has(const struct dhat_thread_state *thread)
{
	return is_on(thread, thread->words[DHAT_REGISTER_SP]);
}

uint64_t left_stack_pointer(const struct dhat_thread_state *thread, const uint64_t *words,
			    size_t count)
{
	for (size_t i = count > SP_WORD ? count - SP_WORD : 0; i-- > 0;)
		if (words[i] == thread->signal_stack &&
		    words[i + SIZE_WORD] == thread->signal_stack_bytes &&
		    !is_on(thread, words[i + SP_WORD]))
			return words[i + SP_WORD];
	return 0;
}

struct memory {
	struct pagemap pagemap;
	int fd;
};

static void memory_deinit(struct memory *memory)
{
	pagemap_deinit(&memory->pagemap);
	cleanup_close_fd(&memory->fd);
}

static uint64_t find(struct memory *memory, const struct dhat_thread_state *thread,
		     uint64_t words[LEFT_STACK_BYTES / 8])
{
	uint64_t end = thread->signal_stack + thread->signal_stack_bytes;
	uint64_t first = thread->words[DHAT_REGISTER_SP];
	size_t size;

	end -= end % sizeof(*words);
	first = end - first > LEFT_STACK_BYTES ? end - LEFT_STACK_BYTES : first;
	first += -first % sizeof(*words);
	if (end > INT64_MAX || first >= end)
		return 0;
	size = end - first;
	if (!pagemap_is_in_memory(&memory->pagemap, first, end) ||
	    pread(memory->fd, words, size, first) != (ssize_t)size)
		return 0;
	return left_stack_pointer(thread, words, size / sizeof(*words));
}

int left_stacks_find(pid_t pid, const struct dhat_thread_state *threads, size_t count,
		     uint64_t **ret)
{
	_cleanup_(memory_deinit) struct memory memory = { .pagemap = PAGEMAP_CLOSED, .fd = -1 };
	_cleanup_free_ uint64_t *list = calloc(count + 1, sizeof(*list));
	_cleanup_free_ uint64_t *words = malloc(LEFT_STACK_BYTES);
	bool is_open = false;

	if (!list || !words)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (!left_stack_has(&threads[i]))
			continue;
		if (!is_open &&
		    (proc_open(pid, "mem", &memory.fd) || pagemap_open(pid, &memory.pagemap)))
			break; /* they are not known */
		is_open = true;
		list[i] = find(&memory, &threads[i], words);
	}
	*ret = take_ptr(list);
	return 0;
}
