#include "hazards.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/proc/open_files.h"
#include "proto/base/cleanup.h"
#include "proto/base/text.h"
#include "proto/base/texts.h"

/* ---- mappings ------------------------------------------------------------------------------- */

/* Runtimes that move objects, compress pointers to them, or free later what nothing holds any more;
 * by how the names of their files begin. */
static const struct {
	const char *begins, *name;
} runtimes[] = {
	{ "libjvm.so", "Java" },
	{ "libcoreclr.so", ".NET" },
	{ "libmonosgen", "Mono" },
	{ "libnode.so", "Node.js" },
	{ "libv8", "V8" },
	{ "libmozjs", "SpiderMonkey" },
	{ "libjavascriptcore", "JavaScriptCore" },
	{ "libgc.so", "the Boehm collector" },
	{ "libruby", "Ruby" },
	{ "libphp", "PHP" },
};
static const struct {
	const char *is, *name;
} programs[] = {
	{ "node", "Node.js" }, { "deno", "Deno" }, { "bun", "Bun" },	     { "java", "Java" },
	{ "chrome", "V8" },    { "ruby", "Ruby" }, { "beam.smp", "Erlang" },
};

static const char *runtime_of(const char *path)
{
	const char *name = dhat_text_base_name(path);

	for (size_t i = 0; i < ARRAY_SIZE(runtimes); i++)
		if (!strncmp(name, runtimes[i].begins, strlen(runtimes[i].begins)))
			return runtimes[i].name;
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (!strcmp(name, programs[i].is))
			return programs[i].name;
	return NULL;
}

static int add_runtime(const char *path, char ***texts)
{
	const char *name = dhat_text_base_name(path), *runtime = runtime_of(path);
	char text[256];

	if (runtime) {
		snprintf(text, sizeof(text),
			 "%s collects garbage by itself: what nothing holds may be freed yet, and "
			 "its pointers need not look like any",
			 runtime);
		return texts_add_once(texts, text);
	}
	if (!strncmp(name, "libasan.", 8) || !strncmp(name, "libclang_rt.asan", 16) ||
	    !strncmp(name, "libclang_rt.hwasan", 18))
		return texts_add_once(texts, "a sanitizer keeps freed blocks, and tags addresses");
	return 0;
}

static const struct {
	unsigned flag;
	const char *text;
} flags[] = {
	{ SMAPS_USERFAULT, "part of its memory is filled in by a userfaultfd handler: it was not "
			   "read, since that could wait for the handler" },
	{ SMAPS_TAGGED, "part of its memory has tagged addresses (MTE)" },
};

int hazards_of_maps(const struct procmaps *maps, const struct smaps *smaps, char ***texts)
{
	int r = 0;

	for (size_t i = 0; i < maps->count && r == 0; i++) {
		const char *path = maps->entries[i].path;

		if (!strncmp(path, "/[aio]", 6))
			r = texts_add_once(texts, "it has requests of asynchronous I/O, whose data "
						  "the kernel keeps");
		else if (!strncmp(path, "/secretmem", 10))
			r = texts_add_once(texts,
					   "part of its memory is secret (memfd_secret): nobody "
					   "can read it");
		else if (path[0] == '/' && maps->entries[i].is_executable)
			r = add_runtime(path, texts);
	}
	for (size_t i = 0; i < smaps->count && r == 0; i++) {
		const char *name = smaps->entries[i].name;
		/* [vvar], [uprobes] … */
		bool is_kernels = name[0] == '[' && strncmp(name, "[anon", 5);

		for (size_t j = 0; j < ARRAY_SIZE(flags) && r == 0; j++)
			if (smaps->entries[i].flags & flags[j].flag)
				r = texts_add_once(texts, flags[j].text);
		if (smaps->entries[i].flags & SMAPS_DEVICE && !is_kernels && r == 0)
			r = texts_add_once(texts, "a device is mapped into it, whose memory cannot "
						  "be read safely");
	}
	return r;
}

/* ---- open files ----------------------------------------------------------------------------- */

static int take_file(void *texts, const char *number, const char *link)
{
	if (!strcmp(link, "anon_inode:[io_uring]"))
		return texts_add_once(texts, "it has an io_uring, whose requests the kernel keeps: "
					     "what only they hold is not seen");
	if (!strcmp(link, "anon_inode:[userfaultfd]"))
		return texts_add_once(texts, flags[0].text);
	return 0;
}

int hazards_find(pid_t pid, const struct procmaps *maps, const struct smaps *smaps, char ***texts)
{
	int r = hazards_of_maps(maps, smaps, texts);

	return r ? r : open_files_visit(pid, take_file, texts);
}
