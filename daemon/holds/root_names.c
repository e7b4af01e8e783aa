#include "root_names.h"

#include "image_names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "daemon/proc/file.h"
#include "daemon/proc/mapfile.h"
#include "daemon/proc/pagemap.h"
#include "daemon/target/identity.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"
#include "proto/base/text.h"

DEFINE_CLEANUP_PTR(struct names *, names_free)

#define NAME_CHARS 512

static const char *const plain[REACH_CLASSES] = {
	[REACH_GLOBAL] = "a global variable",
	[REACH_STACK] = "a thread's stack",
	[REACH_REGISTER] = "a thread's registers",
	[REACH_KERNEL] = "the kernel",
	[REACH_MAPPING] = "memory that it mapped itself",
	[REACH_SHARED] = "shared memory",
	[REACH_YOUNG] = "blocks allocated during the scan",
	[REACH_OTHER] = "memory in which an allocator above another has its blocks",
	[REACH_GAP] = "free memory of the heap",
	[REACH_BELOW] = "what calls have left behind on a stack",
	[REACH_ENDED] = "what may be the stack of a thread that has ended",
	[REACH_FREED] = "memory that was freed during the scan",
};
static const char mapping_before[] =
	"memory that dhatd does not know (mapped by the process, or an "
	"allocator's from before the attach)";
static const char gap_before[] =
	"memory of the heap that dhatd does not know (free, or from before "
	"the attach)";

struct naming {
	struct scan_once *scan;
	const struct target_identity *identity;
	struct symbolizer *symbolizer;
	bool knows_before; /* blocks from before the observation are known, or there are none */
	int root_fd;
};

int root_names_plain(struct scan_once *scan)
{
	struct reach_found *found = &scan->graph.found;
	uint32_t names[REACH_CLASSES];
	int r = 0;

	for (uint32_t class = 0; class < REACH_CLASSES && r == 0; class ++)
		r = reach_graph_name(&scan->graph, plain[class], class, &names[class]);
	for (uint32_t i = 0; i < found->root_count && r == 0; i++)
		found->roots[i].name = names[found->roots[i].name];
	return r;
}

/* ---- threads -------------------------------------------------------------------------------- */

static void describe_thread(const struct naming *naming, size_t thread, const char *what, char *ret)
{
	char name[sizeof(naming->scan->threads->name) + 1];

	if (thread >= naming->scan->thread_count) {
		snprintf(ret, NAME_CHARS, "%s a thread", what);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)sizeof(naming->scan->threads->name),
		 naming->scan->threads[thread].name);
	snprintf(ret, NAME_CHARS, "%s thread %s", what, name);
}

/* The main thread's local memory is below what its register points to, and the thread's own record
 * above; the kernel makes one mapping of it and of what was mapped beside it. (Others' is at the
 * upper end of their stacks.) How far it goes is a bound: libraries ask for less together. */
#define LOCAL_BELOW_BYTES 16384u
#define LOCAL_ABOVE_BYTES 4096u

static size_t thread_with_local(const struct naming *naming, uint64_t addr)
{
	size_t i = 0;

	while (i < naming->scan->thread_count &&
	       addr - (naming->scan->threads[i].local_base - LOCAL_BELOW_BYTES) >=
		       LOCAL_BELOW_BYTES + LOCAL_ABOVE_BYTES)
		i++;
	return i;
}

/* The thread whose stack pointer is the last one below; they are in this order. */
static size_t thread_of(const struct naming *naming, uint64_t addr)
{
	const struct layout_area *area = layout_find(&naming->scan->layout, addr);
	size_t low = 0, high = naming->scan->thread_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint64_t sp = naming->scan->threads[middle].words[DHAT_REGISTER_SP];

		if (sp - DHAT_RED_ZONE_BYTES <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || !area ||
	    naming->scan->threads[low - 1].words[DHAT_REGISTER_SP] - DHAT_RED_ZONE_BYTES <
		    area->start - area->start % PAGEMAP_PAGE)
		return naming->scan->thread_count;
	return low - 1;
}

/* ---- variables ------------------------------------------------------------------------------ */

/* The mapping of the file that an address of its data or bss belongs to. */
static const struct procmaps_entry *file_of(const struct naming *naming, uint64_t addr)
{
	const struct layout_area *area = layout_find(&naming->scan->layout, addr);
	size_t at = area ? area->mapping : 0;

	if (!area)
		return NULL;
	while (at && !naming->scan->maps.entries[at].inode)
		at--;
	return &naming->scan->maps.entries[at];
}

/* symbol NULL: only the file's name is known. */
static void describe_variable(const struct procmaps_entry *file, bool is_executable,
			      const char *symbol, char *ret)
{
	const char *name = dhat_text_base_name(file->path);

	if (symbol && is_executable)
		snprintf(ret, NAME_CHARS, "global %.400s", symbol);
	else if (symbol)
		snprintf(ret, NAME_CHARS, "global %.400s (%.60s)", symbol, name);
	else
		snprintf(ret, NAME_CHARS, "a variable of %.100s", name);
}

/* A large array has ten millions of roots, each with a question and an answer. */
#define MAX_GROUP 65536u

/* They come by address: those of one variable one after the other, with the answer of the first. */
static int name_group(struct naming *naming, uint32_t *roots, uint32_t count,
		      const struct procmaps_entry *file)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_free_ struct name_query *queries = calloc(count, sizeof(*queries));
	struct reach_root *all = naming->scan->graph.found.roots;
	struct symbolizer_object object = { .root_fd = naming->root_fd,
					    .uid = naming->identity->uid,
					    .path = file->path };
	bool is_executable;
	int r = queries ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < count && r == 0; i++)
		queries[i].file_offset = all[roots[i]].addr - file->start + file->file_offset;
	object.fd = mapfile_open(naming->identity->pid, file->start, file->end, file->path,
				 file->inode);
	is_executable = identity_is_executable(naming->identity, object.fd);
	if (r == 0 && object.fd >= 0) /* without, they are named by their file */
		symbolizer_name_data(naming->symbolizer, &object, queries, count, &names);
	for (uint32_t i = 0; i < count && r == 0; i++) {
		const struct name_frame *frame = names ? &names->frames[i] : NULL;
		char text[NAME_CHARS];

		if (i && frame && frame->location_count && frame[-1].location_count &&
		    frame->first_location == frame[-1].first_location) {
			all[roots[i]].name = all[roots[i - 1]].name;
			continue;
		}
		describe_variable(
			file, is_executable,
			frame && frame->location_count
				? names->texts
					  .list[names->locations[frame->first_location].function]
				: NULL,
			text);
		r = reach_graph_name(&naming->scan->graph, text, REACH_GLOBAL, &all[roots[i]].name);
	}
	cleanup_close_fd(&object.fd);
	return r;
}

/* Roots come by address: those of one file one after the other. */
static int name_variables(struct naming *naming)
{
	struct reach_found *found = &naming->scan->graph.found;
	_cleanup_free_ uint32_t *group = malloc(MAX_GROUP * sizeof(*group));
	const struct procmaps_entry *file = NULL;
	uint32_t count = 0;
	int r = group ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < found->root_count && r == 0; i++) {
		const struct procmaps_entry *here;

		if (found->roots[i].name != REACH_GLOBAL)
			continue;
		here = file_of(naming, found->roots[i].addr);
		if ((here != file || count == MAX_GROUP) && count) {
			r = name_group(naming, group, count, file);
			count = 0;
		}
		file = here;
		if (file)
			group[count++] = i;
	}
	return r || !count ? r : name_group(naming, group, count, file);
}

/* ---- the others ----------------------------------------------------------------------------- */

static void describe(const struct naming *naming, const struct reach_root *root, char *ret)
{
	const struct layout_area *area;
	const char *path;
	size_t thread;

	switch ((enum reach_class)root->name) {
	case REACH_STACK:
		describe_thread(naming, thread_of(naming, root->addr), "the stack of", ret);
		return;
	case REACH_REGISTER:
		describe_thread(naming, root->addr, "the registers of", ret);
		return;
	case REACH_KERNEL:
		snprintf(ret, NAME_CHARS, "%s", (const char *)(uintptr_t)root->addr);
		return;
	case REACH_SHARED:
		area = layout_find(&naming->scan->layout, root->addr);
		path = area ? naming->scan->maps.entries[area->mapping].path : "";
		if (!strcmp(path, "anon_inode:[io_uring]")) {
			snprintf(ret, NAME_CHARS, "the queues of an io_uring");
			return;
		}
		snprintf(ret, NAME_CHARS, "shared memory%s%.400s", *path ? " " : "", path);
		return;
	case REACH_MAPPING:
		thread = thread_with_local(naming, root->addr);
		if (thread < naming->scan->thread_count) {
			describe_thread(naming, thread, "the thread-local memory of", ret);
			return;
		}
		snprintf(ret, NAME_CHARS, "%s",
			 naming->knows_before ? plain[root->name] : mapping_before);
		return;
	case REACH_GAP:
		snprintf(ret, NAME_CHARS, "%s",
			 naming->knows_before ? plain[root->name] : gap_before);
		return;
	default:
		snprintf(ret, NAME_CHARS, "%s", plain[root->name]);
	}
}

/* Memory of one kind has one name, wherever it is. */
static bool is_named_by_class(uint32_t class)
{
	return class == REACH_GAP || class == REACH_BELOW || class == REACH_ENDED ||
	       class == REACH_YOUNG;
}

/* Variables first, while what is named is still a class: afterwards the number of a name may be the
 * same as that of a class. So all others are looked at in one pass, by a copy of the classes. */
static int name_others(struct naming *naming, const uint8_t *classes)
{
	struct reach_found *found = &naming->scan->graph.found;
	int r = 0;

	for (uint32_t i = 0; i < found->root_count && r == 0; i++) {
		struct reach_root root = found->roots[i];
		char text[NAME_CHARS];

		if (classes[i] == REACH_GLOBAL)
			continue;
		if (i && classes[i] == classes[i - 1] && is_named_by_class(classes[i])) {
			found->roots[i].name = found->roots[i - 1].name;
			continue;
		}
		root.name = classes[i];
		describe(naming, &root, text);
		r = reach_graph_name(&naming->scan->graph, text, root.name, &found->roots[i].name);
	}
	return r;
}

int root_names_give(struct scan_once *scan, const struct target_identity *identity,
		    bool knows_before, struct symbolizer *symbolizer)
{
	struct reach_found *found = &scan->graph.found;
	_cleanup_free_ uint8_t *classes = malloc(found->root_count + 1ul);
	_cleanup_close_ int dir_fd = -1, root_fd = -1;
	struct naming naming = { scan, identity, symbolizer, knows_before, -1 };
	int r = classes ? 0 : -ENOMEM;

	if (r)
		return r;
	for (uint32_t i = 0; i < found->root_count; i++)
		classes[i] = found->roots[i].name;
	if (proc_open_dir(identity->pid, &dir_fd) == 0)
		root_fd = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	naming.root_fd = root_fd;
	r = name_variables(&naming);
	return r ? r : name_others(&naming, classes);
}

/* ---- one address ---------------------------------------------------------------------------- */

static char *describe_image(const struct scan_once *scan, uint64_t addr)
{
	char *text = NULL;

	for (size_t i = 0; i < scan->maps.count; i++) {
		const struct procmaps_entry *entry = &scan->maps.entries[i];

		if (addr < entry->start || addr >= entry->end)
			continue;
		if (asprintf(&text, "%s%s%s", entry->is_executable ? "code" : "memory",
			     *entry->path ? " of " : "", dhat_text_base_name(entry->path)) < 0)
			text = NULL;
		return text;
	}
	return NULL;
}

static char *describe_global(const struct scan_once *scan, const struct target_identity *identity,
			     struct symbolizer *symbolizer, uint64_t addr)
{
	struct image_name *name = calloc(1, sizeof(*name));
	char *text = NULL;

	if (!name)
		return NULL;
	name->addr = addr;
	image_names_find(scan, identity, symbolizer, false, name, 1);
	if (!name->name)
		text = describe_image(scan, addr);
	else if (asprintf(&text, "global %s%s", name->name, name->within ? name->within : "") < 0)
		text = NULL;
	image_names_free(name, 1);
	return text;
}

char *root_names_describe(const struct scan_once *scan, const struct target_identity *identity,
			  bool knows_before, struct symbolizer *symbolizer, uint64_t addr)
{
	const struct naming naming = { without_qualifiers(scan), identity, symbolizer, knows_before,
				       -1 };
	const struct layout_area *area = layout_find(&scan->layout, addr);
	struct reach_root root = { .addr = addr };
	char text[NAME_CHARS];

	if (!area)
		return describe_image(scan, addr);
	if (area->class == REACH_GLOBAL)
		return describe_global(scan, identity, symbolizer, addr);
	root.name = area->class;
	describe(&naming, &root, text);
	return strdup(text);
}
