/* holders: blocks that are held in every way there is, and blocks that nothing holds. For dhatctl
 * holds.
 *
 * holders                        a line on stdin makes all blocks; then "made"
 * Each kind allocates in a function of its own: held_…, lost_…, tagged_…, stale_… (only what is
 * left over points to them), hidden_… (their pointers are in a shape that nobody knows). "free":
 * the blocks of lost_later are freed by an address that was kept in a pipe; then "freed". "check":
 * LeakSanitizer says what it thinks, where it is built in; then "checked".
 */
/* build: -pthread -O1 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define COUNT 1000

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

#define KIND(name)                                                                                 \
	static __attribute__((noinline, noclone)) void *name(size_t size)                          \
	{                                                                                          \
		void *block = malloc(size);                                                        \
                                                                                                   \
		memset(block, 0, size);                                                            \
		__asm__ volatile("" : : "r"(block) : "memory");                                    \
		return block;                                                                      \
	}

KIND(held_by_list)
KIND(held_inside)
KIND(held_by_buckets)
KIND(held_by_end)
KIND(held_with_low_tag)
KIND(held_by_epoll)
KIND(held_by_timer)
KIND(held_as_signal_stack)
KIND(held_by_thread_local)
KIND(held_by_key)
KIND(held_by_stack)
KIND(held_by_register)
KIND(held_by_running_register)
KIND(held_by_mapping)
KIND(held_by_shared_memory)
KIND(held_by_read_only)
KIND(held_by_unreadable)
KIND(held_in_blocks)
KIND(tagged_high)
KIND(tagged_shifted)
KIND(lost_plain)
KIND(lost_by_itself)
KIND(lost_in_pairs)
KIND(lost_list)
KIND(lost_later)
KIND(stale_in_freed)
KIND(freed_holder)

struct node {
	struct node *next, *before;
	char rest[48];
};

/* Global, so that no compiler drops what is written only. */
struct node *list, ring;
void **buckets, **tree;
uintptr_t ends[COUNT], low_tags[COUNT], high_tags[COUNT], shifted[COUNT];
__thread void *thread_local_blocks[4];
static pthread_key_t key;
static volatile int started;
static int later[2];

static void make_lists(void)
{
	ring.next = ring.before = &ring;
	for (int i = 0; i < COUNT; i++) {
		struct node *node = held_by_list(sizeof(*node)), *inner;
		char *block = held_inside(200);

		node->next = list;
		list = node;
		inner = (struct node *)(block + 64);
		inner->next = ring.next;
		inner->before = &ring;
		ring.next->before = inner;
		ring.next = inner;
	}
}

static void make_tables(void)
{
	buckets = held_by_buckets(256 * sizeof(*buckets));
	for (int i = 0; i < COUNT; i++) {
		void **entry = held_by_buckets(40);

		entry[0] = buckets[i % 256];
		buckets[i % 256] = entry;
	}
	tree = held_in_blocks(100 * sizeof(*tree));
	for (int i = 0; i < 100; i++) {
		void **inner = held_in_blocks(10 * sizeof(*inner));

		tree[i] = inner;
		for (int j = 0; j < 10; j++)
			inner[j] = held_in_blocks(16);
	}
}

static void make_odd_pointers(void)
{
	for (int i = 0; i < COUNT; i++) {
		size_t size = 24 + i % 8 * 16;

		ends[i] = (uintptr_t)held_by_end(size) + size;
		low_tags[i] = (uintptr_t)held_with_low_tag(32) | 5;
		high_tags[i] = (uintptr_t)tagged_high(32) | 0xfffc000000000000ull;
		shifted[i] = (uintptr_t)tagged_shifted(32) << 16 | i;
	}
}

static void make_kernels(void)
{
	int epoll = epoll_create1(0);
	stack_t stack = { .ss_size = 65536 };

	for (int i = 0; i < 200; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = held_by_epoll(200) };

		epoll_ctl(epoll, EPOLL_CTL_ADD, eventfd(0, 0), &event);
	}
	for (int i = 0; i < 20; i++) {
		struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
		timer_t timer;

		event.sigev_value.sival_ptr = held_by_timer(64);
		timer_create(CLOCK_MONOTONIC, &event, &timer);
	}
	stack.ss_sp = held_as_signal_stack(stack.ss_size);
	sigaltstack(&stack, NULL);
}

static void make_mappings(void)
{
	size_t bytes = COUNT * 64;
	void **private =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void **shared =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void **read_only =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void **unreadable =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < COUNT; i++) {
		private[i * 8] = held_by_mapping(40);
		shared[i * 8] = held_by_shared_memory(40);
		read_only[i * 8] = held_by_read_only(40);
		unreadable[i * 8] = held_by_unreadable(40);
	}
	mprotect(read_only, bytes, PROT_READ);
	mprotect(unreadable, bytes, PROT_NONE);
}

static void *wait_in_thread(void *unused)
{
	void *volatile on_stack[8];

	thread_local_blocks[1] = held_by_thread_local(100);
	pthread_setspecific(key, held_by_key(100));
	for (int i = 0; i < 8; i++)
		on_stack[i] = held_by_stack(64);
	__atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return on_stack[0] ? unused : NULL;
}

/* A thread that has a block in a register only: in a call of the kernel for ever, or never in one.
 */
static void *wait_with_register(void *unused)
{
	void *block = held_by_register(100);

	__asm__ volatile("mov %0, %%r12\n\t"
			 "xor %%eax, %%eax\n\t"
			 "movl $1, (%1)\n\t"
			 "1: mov $34, %%eax\n\t" /* pause(2) */
			 "syscall\n\t"
			 "jmp 1b"
			 :
			 : "r"(block), "r"(&started)
			 : "r12", "rax", "rcx", "r11", "memory");
	return unused;
}

static void *run_with_register(void *unused)
{
	void *block = held_by_running_register(100);

	__asm__ volatile("mov %0, %%r13\n\t"
			 "xor %0, %0\n\t"
			 "movl $1, (%1)\n\t"
			 "1: pause\n\t"
			 "jmp 1b"
			 : "+r"(block)
			 : "r"(&started)
			 : "r13", "memory");
	return unused;
}

static void begin_thread(void *(*run)(void *))
{
	pthread_t thread;

	started = 0;
	pthread_create(&thread, NULL, run, NULL);
	while (!started)
		usleep(1000);
}

static void make_lost(void)
{
	struct node *head = NULL;

	for (int i = 0; i < COUNT; i++) {
		struct node *self = lost_by_itself(sizeof(*self)), *node = lost_list(sizeof(*node));
		struct node *a = lost_in_pairs(sizeof(*a)), *b = lost_in_pairs(sizeof(*b));
		void *kept = lost_later(48);

		lost_plain(64);
		self->next = self;
		node->next = head;
		head = node;
		a->next = b;
		b->next = a;
		if (write(later[1], &kept, sizeof(kept)) != sizeof(kept))
			exit(1);
	}
}

static void make_stale(void)
{
	for (int i = 0; i < 100; i++) {
		void **holder = freed_holder(96);

		for (int j = 4; j < 12; j++)
			holder[j] = stale_in_freed(48);
		free(holder);
	}
}

/* What the calls above have left behind on the stack is written over. */
static __attribute__((noinline)) void clean_stack(void)
{
	volatile char below[65536];

	memset((char *)below, 0, sizeof(below));
	__asm__ volatile("" : : "r"(below) : "memory");
}

static void free_later(void)
{
	void *block;

	for (int i = 0; i < COUNT; i++)
		if (read(later[0], &block, sizeof(block)) == sizeof(block))
			free(block);
}

int main(void)
{
	char line[64];

	if (pipe(later))
		return 1;
	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	pthread_key_create(&key, NULL);
	make_lost();
	make_lists();
	make_tables();
	make_odd_pointers();
	make_kernels();
	make_mappings();
	make_stale();
	thread_local_blocks[0] = held_by_thread_local(100);
	begin_thread(wait_in_thread);
	begin_thread(wait_with_register);
	begin_thread(run_with_register);
	clean_stack();
	puts("made");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		bool is_check = !strcmp(line, "check\n");

		if (!strcmp(line, "free\n"))
			free_later();
		if (is_check && __lsan_do_recoverable_leak_check)
			__lsan_do_recoverable_leak_check();
		puts(is_check ? "checked" : "freed");
		fflush(stdout);
	}
	return 0;
}
