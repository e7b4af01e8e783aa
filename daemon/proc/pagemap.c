#include "pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "file.h"
#include "proto/base/cleanup.h"

/* Documentation/admin-guide/mm/pagemap.rst: a word a page. Bit 63: in memory; 62: swapped out; 61:
 * a file's, or shared; 58: a guard; 56: nobody else has it mapped, so that it is not the kernel's
 * page of zeros; 0 … 54: the frame. */
#define WORD_PRESENT (1ull << 63)
#define WORD_SWAPPED (1ull << 62)
#define WORD_FILE (1ull << 61)
#define WORD_GUARD (1ull << 58)
#define WORD_EXCLUSIVE (1ull << 56)
#define WORD_FRAME ((1ull << 55) - 1)
#define KPF_ZERO_PAGE_BIT 24 /* /proc/kpageflags, which needs the rights of root */
#define WINDOW_WORDS 4096

/* include/uapi/linux/fs.h of Linux 6.7, and of 6.15 for guards: Debian 12 has it not. */
#define SCAN_FILE (1ull << 2)
#define SCAN_PRESENT (1ull << 3)
#define SCAN_SWAPPED (1ull << 4)
#define SCAN_ZEROS (1ull << 5)
#define SCAN_GUARD (1ull << 8)
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define WINDOW_REGIONS 1024
/* The kernel holds the process's lock on its mappings over a question, and mmap(2) waits: of 64 MiB
 * that are all there it is a millisecond. */
#define WINDOW_BYTES (64ull << 20)

/* ---- joining ----------------------------------------------------------------------------- */

struct joining {
	struct pagemap_run run; /* not told yet */
	pagemap_visit visit;
	void *context;
};

static int tell(struct joining *joining)
{
	return joining->run.count ? joining->visit(joining->context, &joining->run) : 0;
}

static int join(struct joining *joining, uint64_t first, uint64_t count, unsigned what)
{
	struct pagemap_run *run = &joining->run;
	int r;

	if (!(what & (PAGEMAP_IN_MEMORY | PAGEMAP_SWAPPED)))
		return 0;
	if (run->count && run->what == what && run->first + run->count == first) {
		run->count += count;
		return 0;
	}
	r = tell(joining);
	*run = (struct pagemap_run){ first, count, what };
	return r;
}

/* ---- words ------------------------------------------------------------------------------- */

static unsigned what_is(const struct pagemap_source *source, uint64_t word)
{
	unsigned file = word & WORD_FILE ? PAGEMAP_OF_FILE : 0;

	if (word & WORD_GUARD)
		return 0;
	if (word & WORD_SWAPPED)
		return PAGEMAP_SWAPPED | file;
	if (!(word & WORD_PRESENT))
		return 0;
	if (!(word & WORD_EXCLUSIVE) && source->is_zero &&
	    source->is_zero(source->context, word & WORD_FRAME))
		return 0;
	return PAGEMAP_IN_MEMORY | file;
}

int pagemap_scan_words(const struct pagemap_source *source, uint64_t start, uint64_t end,
		       pagemap_visit visit, void *context)
{
	_cleanup_free_ uint64_t *words = malloc(WINDOW_WORDS * sizeof(*words));
	struct joining joining = { .visit = visit, .context = context };
	uint64_t page = start / PAGEMAP_PAGE, last = end / PAGEMAP_PAGE;
	int r = 0;

	if (!words)
		return -ENOMEM;
	while (page < last) {
		uint64_t left = last - page;
		ssize_t n = source->read(source->context, words,
					 left < WINDOW_WORDS ? left : WINDOW_WORDS, page);

		if (n < 0)
			return n;
		if (n == 0)
			break; /* the process ends: what is not there is absent */
		for (ssize_t i = 0; i < n && r == 0; i++, page++)
			r = join(&joining, page, 1, what_is(source, words[i]));
		if (r)
			return r;
	}
	return tell(&joining);
}

static ssize_t read_words(void *context, uint64_t *words, size_t count, uint64_t page)
{
	const struct pagemap *pagemap = context;
	ssize_t n =
		pread(pagemap->fd, words, count * sizeof(*words), (off_t)(page * sizeof(*words)));

	return n < 0 ? -errno : n / (ssize_t)sizeof(*words);
}

static bool is_zero_page(void *context, uint64_t frame)
{
	const struct pagemap *pagemap = context;
	uint64_t flags;

	if (pagemap->flags_fd < 0 || pread(pagemap->flags_fd, &flags, sizeof(flags),
					   (off_t)(frame * sizeof(flags))) != sizeof(flags))
		return false;
	return flags >> KPF_ZERO_PAGE_BIT & 1;
}

/* ---- runs -------------------------------------------------------------------------------- */

static unsigned what_is_region(uint64_t categories)
{
	unsigned file = categories & SCAN_FILE ? PAGEMAP_OF_FILE : 0;

	if (categories & (SCAN_GUARD | SCAN_ZEROS))
		return 0;
	if (categories & SCAN_PRESENT)
		return PAGEMAP_IN_MEMORY | file;
	return categories & SCAN_SWAPPED ? PAGEMAP_SWAPPED | file : 0;
}

/* So many regions from start on; *ret_end: up to where. */
static int scan_window(struct pagemap *pagemap, uint64_t start, uint64_t end,
		       struct scan_region *regions, uint64_t *ret_end)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = WINDOW_REGIONS,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT | SCAN_SWAPPED | SCAN_FILE | SCAN_ZEROS,
	};
	int count;

	if (!pagemap->knows_no_guards)
		arg.return_mask |= SCAN_GUARD;
	count = ioctl(pagemap->fd, SCAN_IOCTL, &arg);
	if (count < 0 && errno == EINVAL && !pagemap->knows_no_guards) {
		pagemap->knows_no_guards = true;
		return scan_window(pagemap, start, end, regions, ret_end);
	}
	*ret_end = arg.walk_end;
	return count < 0 ? -errno : count;
}

static int scan_runs(struct pagemap *pagemap, uint64_t start, uint64_t end, pagemap_visit visit,
		     void *context)
{
	_cleanup_free_ struct scan_region *regions = calloc(WINDOW_REGIONS, sizeof(*regions));
	struct joining joining = { .visit = visit, .context = context };

	if (!regions)
		return -ENOMEM;
	while (start < end) {
		uint64_t window = end - start < WINDOW_BYTES ? end - start : WINDOW_BYTES, walked;
		int count = scan_window(pagemap, start, start + window, regions, &walked), r = 0;

		if (count < 0)
			return count;
		for (int i = 0; i < count && r == 0; i++)
			r = join(&joining, regions[i].start / PAGEMAP_PAGE,
				 (regions[i].end - regions[i].start) / PAGEMAP_PAGE,
				 what_is_region(regions[i].categories));
		if (r)
			return r;
		if (walked <= start) /* never, or it would not end */
			return -EIO;
		start = walked;
	}
	return tell(&joining);
}

/* ---- a process --------------------------------------------------------------------------- */

int pagemap_open(pid_t pid, struct pagemap *ret)
{
	int fd = -1, error = proc_open(pid, "pagemap", &fd);

	if (error)
		return error;
	*ret = (struct pagemap){ .fd = fd,
				 .flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC) };
	return 0;
}

void pagemap_deinit(struct pagemap *pagemap)
{
	if (pagemap->fd >= 0)
		close(pagemap->fd);
	if (pagemap->flags_fd >= 0)
		close(pagemap->flags_fd);
	pagemap->fd = pagemap->flags_fd = -1;
}

int pagemap_scan(struct pagemap *pagemap, uint64_t start, uint64_t end, pagemap_visit visit,
		 void *context)
{
	const struct pagemap_source words = { read_words, is_zero_page, pagemap };

	if (!pagemap->is_old) {
		struct scan_region one;
		struct scan_arg arg = { .size = sizeof(arg), .vec = (uintptr_t)&one };

		/* of nothing: does it know the question? */
		pagemap->is_old = ioctl(pagemap->fd, SCAN_IOCTL, &arg) < 0 && errno == ENOTTY;
	}
	if (pagemap->is_old)
		return pagemap_scan_words(&words, start, end, visit, context);
	return scan_runs(pagemap, start, end, visit, context);
}

/* Stops at the first gap. */
static int pass_pages(void *next, const struct pagemap_run *run)
{
	if (run->first != *(uint64_t *)next || !(run->what & PAGEMAP_IN_MEMORY))
		return 1;
	*(uint64_t *)next += run->count;
	return 0;
}

bool pagemap_is_in_memory(struct pagemap *pagemap, uint64_t start, uint64_t end)
{
	uint64_t next = start / PAGEMAP_PAGE, behind = (end + PAGEMAP_PAGE - 1) / PAGEMAP_PAGE;

	return end > start &&
	       pagemap_scan(pagemap, next * PAGEMAP_PAGE, behind * PAGEMAP_PAGE, pass_pages,
			    &next) == 0 &&
	       next == behind;
}
