/* The heap rises and falls some times, each site by its own share, and the book knows what every
 * site had at the highest of them: what is at t-gmax of a stack, and not just in all.
 *
 * Its own argument: how many steps. Blocks are moved by realloc in between and stay with their
 * first site, and others are freed by another function than they came from. */
#include "ledger.h"

#define SITES 12
#define SLOTS 4096

struct figures {
	unsigned long long bytes, blocks;
};

static struct figures live[SITES], at_peak[SITES];
static struct {
	void *p;
	size_t size;
	int site;
} slots[SLOTS];

/* After the book as a whole was changed by a block of this site. */
static void note(int site, size_t before, size_t after, bool is_new, bool is_gone)
{
	live[site].bytes += ledger_counted(after) * !is_gone - ledger_counted(before) * !is_new;
	live[site].blocks += is_new - is_gone;
	if (!is_gone && ledger.live_bytes == ledger.peak_bytes) /* among equals the latest */
		memcpy(at_peak, live, sizeof(live));
}

#define SITE(n)                                                                                    \
	static __attribute__((noinline)) void *site_##n(size_t size)                               \
	{                                                                                          \
		void *p = n % 3 ? malloc(size) : calloc(1, size);                                  \
                                                                                                   \
		OPAQUE(p);                                                                         \
		return p;                                                                          \
	}
SITE(0)
SITE(1)
SITE(2)
SITE(3)
SITE(4)
SITE(5)
SITE(6)
SITE(7)
SITE(8)
SITE(9)
SITE(10)
SITE(11)

static void *(*const sites[SITES])(size_t) = { site_0, site_1, site_2, site_3, site_4,	site_5,
					       site_6, site_7, site_8, site_9, site_10, site_11 };

static void add(int slot, int site, size_t size)
{
	slots[slot].p = sites[site](size);
	CHECK(slots[slot].p);
	slots[slot].size = size;
	slots[slot].site = site;
	ledger_add(size);
	note(site, 0, size, true, false);
}

static void drop(int slot)
{
	free(slots[slot].p);
	slots[slot].p = NULL;
	ledger_drop(slots[slot].size);
	note(slots[slot].site, slots[slot].size, 0, false, true);
}

static void resize(int slot, size_t size)
{
	size_t before = slots[slot].size;

	slots[slot].p = realloc(slots[slot].p, size);
	CHECK(slots[slot].p);
	slots[slot].size = size;
	ledger_resize(before, size);
	note(slots[slot].site, before, size, false, false);
}

int main(int argc, char **argv)
{
	int i = target_begin(argc, argv);
	long steps = arg_number(argc, argv, i, 60000);
	uint64_t state = 11;
	char extra[400];
	int at = 0;

	for (long step = 0; step < steps; step++) {
		int slot = next_random(&state) % SLOTS;
		/* up for a third of the time, then down; the second hill is the highest */
		unsigned wave = step * 9 / steps, rises = wave % 3 == 0 ? 80 + wave : 35;
		size_t size = next_random(&state) % (wave == 3 ? 700 : 500);

		if (slots[slot].p && next_random(&state) % 8 == 0)
			resize(slot, size + 1);
		else if (slots[slot].p && next_random(&state) % 100 >= rises)
			drop(slot);
		else if (!slots[slot].p && next_random(&state) % 100 < rises)
			add(slot, next_random(&state) % (2 + step * SITES / steps) % SITES, size);
	}
	for (int n = 0; n < SITES; n++)
		at += snprintf(extra + at, sizeof(extra) - at, "%s[%llu,%llu]",
			       n ? "," : ",\"sites\":[", at_peak[n].bytes, at_peak[n].blocks);
	CHECK(snprintf(extra + at, sizeof(extra) - at, "]") < (int)sizeof(extra) - at);
	return target_end(extra);
}
