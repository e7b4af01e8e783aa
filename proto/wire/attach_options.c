#include "attach_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/dhat_sample.h"
#include "proto/base/cleanup.h"
#include "proto/base/units.h"
#include "words.h"

/* Keys beyond the characters: no option here has a letter. */
enum {
	KEY_RING_SIZE = 0x200,
	KEY_LINK,
	KEY_ALLOC,
	KEY_FREE,
	KEY_REALLOC,
	KEY_FOLLOW_FORK,
	KEY_FOLLOW_EXEC,
	KEY_ANONYMOUS,
	KEY_NO_INVENTORY,
	KEY_MAX_MEMORY,
	KEY_NO_RETURN_PROBES,
	KEY_SITES,
	KEY_LIFETIMES,
	KEY_SAMPLE,
};

static const struct argp_option attach_options[] = {
	{ "alloc", KEY_ALLOC, "SPEC", 0,
	  "Count a custom allocator, too: 'BIN:FUNC(size=arg1)' or 'BIN+0xOFFSET(size=arg1)'", 3 },
	{ "free", KEY_FREE, "SPEC", 0, "Its free function: 'BIN:FUNC(ptr=arg1)'", 3 },
	{ "realloc", KEY_REALLOC, "SPEC", 0, "Its realloc function: 'BIN:FUNC(ptr=arg1,size=arg2)'",
	  3 },
	{ "anonymous", KEY_ANONYMOUS, 0, 0,
	  "Record memory that the target maps itself (mmap, brk), too", 3 },
	{ "no-inventory", KEY_NO_INVENTORY, 0, 0,
	  "Do not take stock of the blocks from before the attach", 3 },
	{ "lifetimes", KEY_LIFETIMES, 0, 0,
	  "Count how long freed blocks had lived from the start on, and not from the first mark",
	  3 },
	{ "sample", KEY_SAMPLE, "BYTES", 0,
	  "Record a sample, one block for each so many bytes that are allocated (512KiB): figures "
	  "are estimates then, and say how far they can be off",
	  3 },
	{ "follow-fork", KEY_FOLLOW_FORK, 0, 0,
	  "Attach to a target's children, too: those it has and those it will fork", 4 },
	{ "follow-exec", KEY_FOLLOW_EXEC, 0, 0, "Go on when a target executes another program", 4 },
	{ "ring-size", KEY_RING_SIZE, "BYTES", 0,
	  "Size of a target's ring buffer, a power of two (default 16M)", 5 },
	{ "max-memory", KEY_MAX_MEMORY, "BYTES", 0,
	  "What dhatd may use for one target (default 2G)", 5 },
	{ "link", KEY_LINK, "KIND", 0,
	  "How probes are linked: session, multi or perf (default: the best this kernel has)", 5 },
	{ "no-return-probes", KEY_NO_RETURN_PROBES, 0, 0,
	  "Never touch a return address: probe the exits of functions instead", 5 },
	{ "sites", KEY_SITES, "WHERE", 0,
	  "Where allocations are seen: result (where block and size are known, if that can be "
	  "proven; the default but with perf links) or entry (at entry and return)",
	  5 },
	{ 0 },
};

/* Custom allocators travel as "alloc:SPEC": see AttachOptions in dhat.proto. */
static int add_custom(struct dhat_attach_options *options, const char *kind, const char *spec)
{
	size_t count = 0, size = strlen(kind) + 1 + strlen(spec) + 1;
	char **custom = options->custom, *text;

	while (custom && custom[count])
		count++;
	custom = reallocarray(custom, count + 2, sizeof(*custom));
	if (!custom)
		return -ENOMEM;
	options->custom = custom;
	custom[count] = custom[count + 1] = NULL;
	text = malloc(size);
	if (!text)
		return -ENOMEM;
	snprintf(text, size, "%s:%s", kind, spec);
	custom[count] = text;
	return 0;
}

static int parse_ring_size(struct argp_state *state, struct dhat_attach_options *options,
			   const char *arg)
{
	uint64_t size;

	/* the kernel wants a power of two of whole pages, and addresses records with 30 bits */
	if (dhat_parse_size(arg, &size) < 0 || size < 4096 || size > 1u << 30 ||
	    (size & (size - 1))) {
		argp_error(state, "--ring-size %s: a power of two from 4K to 1G is needed", arg);
		return EINVAL;
	}
	options->ring_bytes = size;
	return 0;
}

static int parse_max_memory(struct argp_state *state, struct dhat_attach_options *options,
			    const char *arg)
{
	uint64_t size;

	if (dhat_parse_size(arg, &size) < 0 || size < DHAT_MAX_MEMORY_LEAST) {
		argp_error(state, "--max-memory %s: a size of at least 16M is needed", arg);
		return EINVAL;
	}
	options->max_memory_bytes = size;
	return 0;
}

static int parse_sample(struct argp_state *state, struct dhat_attach_options *options,
			const char *arg)
{
	uint64_t size;

	if (dhat_parse_size(arg, &size) < 0 || size < DHAT_SAMPLE_LEAST_BYTES ||
	    size > DHAT_SAMPLE_MOST_BYTES) {
		argp_error(state, "--sample %s: a size from 1KiB to 1GiB is needed, as 512KiB",
			   arg);
		return EINVAL;
	}
	options->sample_bytes = size;
	return 0;
}

static int parse_link(struct argp_state *state, struct dhat_attach_options *options,
		      const char *arg)
{
	static const char *const names[] = { DHAT_LINK_NAMES };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i], arg)) {
			options->link = arg;
			return 0;
		}
	}
	argp_error(state, "--link %s: there are session, multi and perf", arg);
	return EINVAL;
}

static error_t parse_attach_option(int key, char *arg, struct argp_state *state)
{
	struct dhat_attach_options *options = state->input;

	switch (key) {
	case KEY_RING_SIZE:
		return parse_ring_size(state, options, arg);
	case KEY_MAX_MEMORY:
		return parse_max_memory(state, options, arg);
	case KEY_SAMPLE:
		return parse_sample(state, options, arg);
	case KEY_LINK:
		return parse_link(state, options, arg);
	case KEY_ALLOC:
		return -add_custom(options, "alloc", arg);
	case KEY_FREE:
		return -add_custom(options, "free", arg);
	case KEY_REALLOC:
		return -add_custom(options, "realloc", arg);
	case KEY_FOLLOW_FORK:
		options->follow_fork = true;
		return 0;
	case KEY_FOLLOW_EXEC:
		options->follow_exec = true;
		return 0;
	case KEY_ANONYMOUS:
		options->anonymous_memory = true;
		return 0;
	case KEY_NO_INVENTORY:
		options->skip_inventory = true;
		return 0;
	case KEY_LIFETIMES:
		options->with_lifetimes = true;
		return 0;
	case KEY_NO_RETURN_PROBES:
		options->no_return_probes = true;
		return 0;
	case KEY_SITES:
		options->sites = arg;
		if (!strcmp(arg, "entry") || !strcmp(arg, "result"))
			return 0;
		argp_error(state, "--sites %s: there are result and entry", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp dhat_attach_argp = { .options = attach_options, .parser = parse_attach_option };

void dhat_attach_options_deinit(struct dhat_attach_options *options)
{
	for (char **custom = options->custom; custom && *custom; custom++)
		free(*custom);
	free(options->custom);
	memset(options, 0, sizeof(*options));
}
