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
	[REACH_OWN] = "an allocator's lists",
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
	struct reach_renaming names;  /* what they are called, up to here */
	struct image_name *functions; /* of frames of stacks; by address */
	uint32_t function_count;
	/* variables that are not named yet: of one file, one behind the other */
	struct variable *group;
	uint32_t group_count;
	const struct procmaps_entry *file; /* NULL: nobody knows which */
	bool is_executable;		   /* that is the program's own */
};

struct variable {
	uint64_t addr;
	bool is_first; /* of a run: reach/found.h */
};

int root_names_plain(struct scan_once *scan)
{
	struct reach_found *found = &scan->graph.found;
	uint32_t names[REACH_CLASSES];
	int r = 0;

	for (uint32_t class = 0; class < REACH_CLASSES && r == 0; class ++)
		r = reach_graph_name(&scan->graph, plain[class], class, &names[class]);
	for (uint32_t i = 0; i < found->run_count && r == 0; i++)
		found->runs[i].name = names[found->runs[i].name];
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

/* ---- frames --------------------------------------------------------------------------------- */

/* Also where nothing else says that memory is a stack: of a thread that runs on its signal stack.
 */
static const struct walked_frame *frame_of(const struct naming *naming, uint64_t addr)
{
	const struct walked_frame *frame = thread_frames_below(&naming->scan->frames, addr);

	return frame && addr < frame->end ? frame : NULL;
}

/* Other threads than the main one have their local memory above all frames. */
static bool is_local(const struct naming *naming, uint64_t addr)
{
	const struct walked_frame *below = thread_frames_below(&naming->scan->frames, addr);
	const struct dhat_thread_state *thread;

	if (!below || !below->is_outermost || addr < below->end)
		return false;
	thread = &naming->scan->threads[below->thread];
	return addr - (thread->local_base - LOCAL_BELOW_BYTES) <
	       LOCAL_BELOW_BYTES + LOCAL_ABOVE_BYTES;
}

static void describe_stack(const struct naming *naming, uint64_t addr, char *ret)
{
	const struct walked_frame *frame = frame_of(naming, addr);
	const struct image_name *function =
		frame ? image_names_get(naming->functions, naming->function_count, frame->pc)
		      : NULL;
	size_t thread = frame ? frame->thread : thread_of(naming, addr), length;

	describe_thread(naming, thread,
			is_local(naming, addr) ? "the thread-local memory of" : "the stack of",
			ret);
	length = strlen(ret);
	if (function && function->name)
		snprintf(ret + length, NAME_CHARS - length, ", in %s", function->name);
}

/* Several roots may be in one frame, and several frames in one function. */
static void add_function(struct naming *naming, const struct walked_frame *frame)
{
	struct image_name *last = naming->functions + naming->function_count;

	if (frame && naming->function_count < naming->scan->frames.count) {
		last->addr = frame->pc;
		naming->function_count++;
	}
}

static int compare_functions(const void *a_, const void *b_)
{
	const struct image_name *a = a_, *b = b_;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static void drop_repeated(struct naming *naming)
{
	uint32_t kept = 0;

	if (naming->function_count)
		qsort(naming->functions, naming->function_count, sizeof(*naming->functions),
		      compare_functions);
	for (uint32_t i = 0; i < naming->function_count; i++)
		if (!kept || naming->functions[kept - 1].addr != naming->functions[i].addr)
			naming->functions[kept++].addr = naming->functions[i].addr;
	naming->function_count = kept;
}

/* Of frames that hold something. */
static int name_functions(struct naming *naming)
{
	const struct reach_found *found = &naming->scan->graph.found;
	const struct walked_frame *frame, *last = NULL;
	struct reach_root_walk walk = { 0 };
	struct reach_root root;

	naming->functions = calloc(naming->scan->frames.count + 1, sizeof(*naming->functions));
	if (!naming->functions)
		return -ENOMEM;
	while (naming->scan->frames.count && reach_next_root(found, &walk, &root)) {
		frame = root.name == REACH_STACK || root.name == REACH_MAPPING
				? frame_of(naming, root.addr)
				: NULL;
		if (frame && frame != last)
			add_function(naming, frame);
		last = frame ? frame : last;
	}
	drop_repeated(naming);
	return image_names_find(naming->scan, naming->identity, naming->symbolizer, IMAGE_FUNCTIONS,
				naming->functions, naming->function_count);
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
#define MAX_GROUP 16384u

static int name_variable(struct naming *naming, uint32_t i, const struct names *names)
{
	const struct variable *variable = &naming->group[i];
	const struct name_frame *frame = names ? &names->frames[i] : NULL;
	bool is_named = frame && frame->location_count;
	char text[NAME_CHARS];
	uint32_t name;
	int r;

	/* they come by address: those of one variable one after the other, with the answer of the
	 * first */
	if (i && is_named && frame[-1].location_count &&
	    frame->first_location == frame[-1].first_location)
		return reach_rename_root(&naming->names, variable->addr, variable->is_first,
					 naming->names.runs[naming->names.count - 1].name);
	describe_variable(
		naming->file, naming->is_executable,
		is_named ? names->texts.list[names->locations[frame->first_location].function]
			 : NULL,
		text);
	r = reach_graph_name(&naming->scan->graph, text, REACH_GLOBAL, &name);
	return r ? r : reach_rename_root(&naming->names, variable->addr, variable->is_first, name);
}

static int name_group(struct naming *naming)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	_cleanup_free_ struct name_query *queries = calloc(naming->group_count, sizeof(*queries));
	const struct procmaps_entry *file = naming->file;
	struct symbolizer_object object = { .root_fd = naming->root_fd,
					    .uid = naming->identity->uid,
					    .path = file->path };
	int r = queries ? 0 : -ENOMEM;

	for (uint32_t i = 0; i < naming->group_count && r == 0; i++)
		queries[i].file_offset = naming->group[i].addr - file->start + file->file_offset;
	object.fd = mapfile_open(naming->identity->pid, file->start, file->end, file->path,
				 file->inode);
	naming->is_executable = identity_is_executable(naming->identity, object.fd);
	if (r == 0 && object.fd >= 0) /* without, they are named by their file */
		symbolizer_name_data(naming->symbolizer, &object, queries, naming->group_count,
				     false, &names);
	for (uint32_t i = 0; i < naming->group_count && r == 0; i++)
		r = name_variable(naming, i, names);
	cleanup_close_fd(&object.fd);
	return r;
}

/* Of what is in no file's data after all only the class is known. */
static int name_plainly(struct naming *naming)
{
	uint32_t name;
	int r = reach_graph_name(&naming->scan->graph, plain[REACH_GLOBAL], REACH_GLOBAL, &name);

	for (uint32_t i = 0; i < naming->group_count && r == 0; i++)
		r = reach_rename_root(&naming->names, naming->group[i].addr,
				      naming->group[i].is_first, name);
	return r;
}

static int finish_group(struct naming *naming)
{
	int r = 0;

	if (naming->group_count)
		r = naming->file ? name_group(naming) : name_plainly(naming);
	naming->group_count = 0;
	return r;
}

static int take_variable(struct naming *naming, const struct reach_root *root, bool is_first)
{
	const struct procmaps_entry *file = file_of(naming, root->addr);
	int r = 0;

	if (file != naming->file || naming->group_count == MAX_GROUP)
		r = finish_group(naming);
	naming->file = file;
	naming->group[naming->group_count++] = (struct variable){ root->addr, is_first };
	return r;
}

/* ---- the others ----------------------------------------------------------------------------- */

static void describe(const struct naming *naming, const struct reach_root *root, char *ret)
{
	const struct layout_area *area;
	const char *path;
	size_t thread;

	switch ((enum reach_class)root->name) {
	case REACH_STACK:
		describe_stack(naming, root->addr, ret);
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
		if (frame_of(naming, root->addr)) {
			describe_stack(naming, root->addr, ret);
			return;
		}
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
	       class == REACH_YOUNG || class == REACH_OWN;
}

static int name_other(struct naming *naming, const struct reach_root *root, bool is_first)
{
	char text[NAME_CHARS];
	uint32_t name;
	int r;

	describe(naming, root, text);
	r = reach_graph_name(&naming->scan->graph, text, root->name, &name);
	return r ? r : reach_rename_root(&naming->names, root->addr, is_first, name);
}

static int name_all(struct naming *naming)
{
	const struct reach_found *found = &naming->scan->graph.found;
	struct reach_root_walk walk = { 0 };
	struct reach_root root;
	uint32_t last = REACH_CLASSES; /* the class of the root before */
	int r = 0;

	while (r == 0 && reach_next_root(found, &walk, &root)) {
		if (root.name == REACH_GLOBAL) {
			r = take_variable(naming, &root, walk.is_first);
		} else if (root.name == last && is_named_by_class(root.name)) {
			r = reach_rename_root(&naming->names, root.addr, walk.is_first,
					      naming->names.runs[naming->names.count - 1].name);
		} else {
			r = finish_group(naming);
			if (r == 0)
				r = name_other(naming, &root, walk.is_first);
		}
		last = root.name;
	}
	return r ? r : finish_group(naming);
}

int root_names_give(struct scan_once *scan, const struct target_identity *identity,
		    bool knows_before, struct symbolizer *symbolizer)
{
	_cleanup_free_ struct variable *group = malloc(MAX_GROUP * sizeof(*group));
	_cleanup_close_ int dir_fd = -1, root_fd = -1;
	struct naming naming = { .scan = scan,
				 .identity = identity,
				 .symbolizer = symbolizer,
				 .knows_before = knows_before,
				 .group = group,
				 .names = { .share = { .room = scan->graph.room } } };
	int r = group ? 0 : -ENOMEM;

	if (r)
		return r;
	if (proc_open_dir(identity->pid, &dir_fd) == 0)
		root_fd = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	naming.root_fd = root_fd;
	r = name_functions(&naming);
	if (r == 0)
		r = name_all(&naming);
	if (r == 0)
		reach_rename(&scan->graph.found, &naming.names);
	image_names_free(naming.functions, naming.function_count);
	reach_renaming_deinit(&naming.names);
	return r;
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
	image_names_find(scan, identity, symbolizer, IMAGE_MEMBERS, name, 1);
	if (!name->name)
		text = describe_image(scan, addr);
	else if (asprintf(&text, "global %s%s", name->name, name->within ? name->within : "") < 0)
		text = NULL;
	image_names_free(name, 1);
	return text;
}

/* Without memory it has no name. */
static void name_one_function(struct naming *naming, uint64_t addr)
{
	naming->functions = calloc(1, sizeof(*naming->functions));
	if (!naming->functions)
		return;
	add_function(naming, frame_of(naming, addr));
	image_names_find(naming->scan, naming->identity, naming->symbolizer, IMAGE_FUNCTIONS,
			 naming->functions, naming->function_count);
}

char *root_names_describe(const struct scan_once *scan, const struct target_identity *identity,
			  bool knows_before, struct symbolizer *symbolizer, uint64_t addr)
{
	struct naming naming = { .scan = without_qualifiers(scan),
				 .identity = identity,
				 .symbolizer = symbolizer,
				 .knows_before = knows_before,
				 .root_fd = -1 };
	const struct layout_area *area = layout_find(&scan->layout, addr);
	struct reach_root root = { .addr = addr };
	char text[NAME_CHARS];

	if (!area)
		return describe_image(scan, addr);
	if (area->class == REACH_GLOBAL)
		return describe_global(scan, identity, symbolizer, addr);
	root.name = area->class;
	if (area->class == REACH_STACK || area->class == REACH_MAPPING)
		name_one_function(&naming, addr);
	describe(&naming, &root, text);
	image_names_free(naming.functions, naming.function_count);
	return strdup(text);
}
