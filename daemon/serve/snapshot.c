#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/proc/file.h"
#include "daemon/target/identity.h"
#include "frame_places.h"
#include "generated.h"
#include "holds_message.h"
#include "message.h"
#include "point_message.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"
#include "proto/base/qualifiers.h"
#include "proto/base/units.h"

#define NOTES_MAX 32 /* one for each object without names; the last says that there are more */

struct writing {
	const struct target_copy *copy;
	struct symbolizer *symbolizer;
	bool without_names;
	snapshot_sink sink;
	void *context;
	int root_fd;
	struct frame_places places;
	uint64_t *gaps; /* distinct: what is left out of deep stacks; numbered behind the places */
	uint32_t gap_count;
	struct holds_message *holds; /* NULL: nobody has asked for it */
	char *notes[NOTES_MAX + 1];
	uint32_t note_count, silent_count; /* silent: objects beyond NOTES_MAX */
};

static void writing_deinit(struct writing *writing)
{
	cleanup_close_fd(&writing->root_fd);
	frame_places_deinit(&writing->places);
	free(writing->gaps);
	holds_message_free(writing->holds);
	for (uint32_t i = 0; i < writing->note_count; i++)
		free(writing->notes[i]);
}

static int emit(struct writing *writing, Dhat__SnapshotPart__PartCase which, void *message)
{
	Dhat__SnapshotPart part = DHAT__SNAPSHOT_PART__INIT;

	part.part_case = which;
	part.head = message; /* one of a union of pointers */
	return writing->sink(writing->context, &part);
}

__attribute__((format(printf, 2, 3))) static void add_note(struct writing *writing,
							   const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (writing->note_count < NOTES_MAX)
		writing->notes[writing->note_count] = strdup(text);
	if (writing->note_count < NOTES_MAX && writing->notes[writing->note_count])
		writing->note_count++;
}

/* ---- gaps ---- */

/* How many frames of a point are left out, and whether there are more that nobody counted. */
static uint64_t gap_of(const struct target_point *point)
{
	return (uint64_t)point->left_out << 1 | (point->stop == DHAT_STOP_TOO_DEEP);
}

static int compare_gaps(const void *a_, const void *b_)
{
	uint64_t a = *(const uint64_t *)a_, b = *(const uint64_t *)b_;

	return a < b ? -1 : a > b;
}

static int find_gaps(struct writing *writing)
{
	const struct target_copy *copy = writing->copy;
	uint32_t count = 0;

	writing->gaps = calloc(copy->point_count + 1ul, sizeof(*writing->gaps));
	if (!writing->gaps)
		return -ENOMEM;
	for (uint32_t i = 0; i < copy->point_count; i++)
		if (copy->points[i].left_out)
			writing->gaps[count++] = gap_of(&copy->points[i]);
	qsort(writing->gaps, count, sizeof(*writing->gaps), compare_gaps);
	for (uint32_t i = 0; i < count; i++)
		if (!i || writing->gaps[i] != writing->gaps[i - 1])
			writing->gaps[writing->gap_count++] = writing->gaps[i];
	return 0;
}

static uint32_t number_of_gap(const struct writing *writing, const struct target_point *point)
{
	uint64_t gap = gap_of(point);
	const uint64_t *found =
		bsearch(&gap, writing->gaps, writing->gap_count, sizeof(gap), compare_gaps);

	return writing->places.count + 1 + (found - writing->gaps);
}

/* ---- frames ---- */

/* A message of a frame, and what it points to. */
struct frame_message {
	Dhat__Frame frame;
	Dhat__Location *locations;
	Dhat__Location **location_list;
};

struct frame_batch {
	struct frame_message *messages;
	Dhat__Frame **list;
	size_t count, capacity, list_capacity, bytes;
};

static void batch_clear(struct frame_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		free(batch->messages[i].locations);
		free(batch->messages[i].location_list);
	}
	batch->count = 0;
	batch->bytes = 0;
}

static void batch_deinit(struct frame_batch *batch)
{
	batch_clear(batch);
	free(batch->messages);
	free(batch->list);
}

static int batch_flush(struct writing *writing, struct frame_batch *batch)
{
	Dhat__FrameBatch message = DHAT__FRAME_BATCH__INIT;
	int r;

	if (!batch->count)
		return 0;
	for (size_t i = 0; i < batch->count; i++)
		batch->list[i] = &batch->messages[i].frame;
	message.frames = batch->list;
	message.n_frames = batch->count;
	r = emit(writing, DHAT__SNAPSHOT_PART__PART_FRAMES, &message);
	batch_clear(batch);
	return r;
}

static struct frame_message *batch_next(struct frame_batch *batch)
{
	struct frame_message *message;

	if (array_make_room(&batch->messages, &batch->capacity, batch->count) ||
	    array_make_room(&batch->list, &batch->list_capacity, batch->count))
		return NULL;
	message = &batch->messages[batch->count++];
	memset(message, 0, sizeof(*message));
	dhat__frame__init(&message->frame);
	return message;
}

/* Strings are borrowed from the names: the batch is sent before those go. */
static int set_locations(struct frame_message *message, const struct names *names,
			 const struct name_frame *named, size_t *bytes)
{
	uint32_t count = named->location_count;

	message->frame.unnamed_reason = names->texts.list[named->reason];
	*bytes += strlen(names->texts.list[named->reason]);
	if (!count)
		return 0;
	message->locations = calloc(count, sizeof(*message->locations));
	message->location_list = calloc(count, sizeof(*message->location_list));
	if (!message->locations || !message->location_list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		const struct name_location *from = &names->locations[named->first_location + i];
		Dhat__Location *location = &message->locations[i];

		dhat__location__init(location);
		location->function = names->texts.list[from->function];
		location->linkage_name = names->texts.list[from->linkage_name];
		location->file = names->texts.list[from->file];
		location->line = from->line;
		location->column = from->column;
		message->location_list[i] = location;
		*bytes += strlen(location->function) + strlen(location->linkage_name) +
			  strlen(location->file) + 24;
	}
	message->frame.locations = message->location_list;
	message->frame.n_locations = count;
	return 0;
}

struct build_id_text {
	char hex[129];
};

static void format_build_id(struct build_id_text *ret, const uint8_t *bytes, size_t size)
{
	ret->hex[0] = '\0';
	for (size_t i = 0; i < size && i < 64; i++)
		snprintf(ret->hex + 2 * i, 3, "%02x", bytes[i]);
}

static void build_id_of(const struct target_object *object, const struct symbolized *symbolized,
			struct build_id_text *ret)
{
	const struct names *names = symbolized->frames[0].names;

	if (object->build_id_size || !names)
		format_build_id(ret, object->build_id, object->build_id_size);
	else
		format_build_id(ret, names->build_id, names->build_id_size);
}

static char *path_of(const struct target_object *object)
{
	if (object->is_vdso)
		return "[vdso]";
	return object->path && *object->path ? object->path : "[unknown file]";
}

static int add_frame(struct writing *writing, struct frame_batch *batch,
		     const struct stack_frame *place, const struct target_object *object,
		     const struct build_id_text *build_id, const struct symbolized *symbolized,
		     const struct symbolized_frame *at)
{
	struct frame_message *message = batch_next(batch);
	const struct name_frame *named;
	int r = 0;

	if (!message)
		return -ENOMEM;
	message->frame.address = place->addr;
	message->frame.is_exact_pc = place->is_exact_pc;
	if (object) {
		message->frame.object = path_of(object);
		message->frame.build_id = without_qualifiers(build_id->hex);
		batch->bytes += strlen(message->frame.object) + strlen(build_id->hex);
	} else {
		message->frame.unnamed_reason = "in no file: code made at run time";
	}
	if (at && at->names) {
		named = &at->names->frames[at->frame];
		message->frame.object_vaddr = named->vaddr;
		r = set_locations(message, at->names, named, &batch->bytes);
	} else if (object) {
		message->frame.object_vaddr = place->file_offset;
		message->frame.unnamed_reason = without_qualifiers(symbolized->reason);
	}
	batch->bytes += 64 + strlen(message->frame.unnamed_reason);
	if (!r && batch->bytes >= SNAPSHOT_BATCH_BYTES)
		r = batch_flush(writing, batch);
	return r;
}

static void note_unnamed(struct writing *writing, const struct target_object *object,
			 uint32_t count, const char *reason)
{
	if (writing->note_count + 1 < NOTES_MAX)
		add_note(writing, "%u frames of %s have no names: %s", count, path_of(object),
			 reason);
	else
		writing->silent_count++;
}

/* Functions are named, and their lines and inlined calls lie in debug information that is not to be
 * had: nobody would look for the reason in the frames. */
static void note_without_lines(struct writing *writing, const struct target_object *object,
			       const struct symbolized *symbolized, uint32_t count)
{
	const char *reason = NULL;
	uint32_t frames = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct symbolized_frame *at = &symbolized->frames[i];
		const struct name_frame *named = at->names ? &at->names->frames[at->frame] : NULL;

		if (!named || !named->location_count || !named->reason)
			continue;
		frames++;
		reason = at->names->texts.list[named->reason];
	}
	if (!frames)
		return;
	if (writing->note_count + 1 < NOTES_MAX)
		add_note(writing, "%u frame%s of %s: %s", frames, frames == 1 ? "" : "s",
			 path_of(object), reason);
	else
		writing->silent_count++;
}

/* The places of one object: named together, sent before the names are let go. */
static int write_object(struct writing *writing, const struct stack_frame *places, uint32_t count)
{
	const struct target_object *object = &writing->copy->objects[places[0].object];
	const struct symbolizer_object symbolizer_object = { .fd = object->fd,
							     .root_fd = writing->root_fd,
							     .uid = writing->copy->identity.uid,
							     .path = object->path };
	_cleanup_free_ struct name_query *queries = calloc(count, sizeof(*queries));
	_cleanup_(batch_deinit) struct frame_batch batch = { 0 };
	struct symbolized symbolized;
	struct build_id_text build_id;
	int r;

	if (!queries)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		queries[i] = (struct name_query){ places[i].file_offset, places[i].is_exact_pc };
	r = symbolizer_name(writing->symbolizer, &symbolizer_object, queries, count,
			    writing->without_names, &symbolized);
	if (r)
		return r;
	if (*symbolized.reason)
		note_unnamed(writing, object, count, symbolized.reason);
	note_without_lines(writing, object, &symbolized, count);
	build_id_of(object, &symbolized, &build_id);
	for (uint32_t i = 0; !r && i < count; i++)
		r = add_frame(writing, &batch, &places[i], object, &build_id, &symbolized,
			      &symbolized.frames[i]);
	if (!r)
		r = batch_flush(writing, &batch);
	batch_clear(&batch); /* it borrows from what goes now */
	symbolized_deinit(writing->symbolizer, &symbolized);
	return r;
}

static int write_nameless(struct writing *writing, const struct stack_frame *places, uint32_t count)
{
	_cleanup_(generated_deinit) struct generated generated = { 0 };
	_cleanup_(batch_deinit) struct frame_batch batch = { 0 };
	_cleanup_free_ struct place_time *times = frame_places_times(
		&writing->places, writing->copy, (uint32_t)(places - writing->places.list), count);
	int r = times ? 0 : -ENOMEM;

	if (!r && !writing->without_names)
		r = generated_name(writing->copy, writing->root_fd, writing->symbolizer, places,
				   times, count, &generated);
	if (*generated.note)
		add_note(writing, "%s", generated.note);
	for (uint32_t i = 0; !r && i < count; i++) {
		const struct symbolized_frame at = { generated_of(&generated, i), i };

		r = add_frame(writing, &batch, &places[i], NULL, NULL, NULL, &at);
	}
	if (!r)
		r = batch_flush(writing, &batch);
	batch_clear(&batch); /* it borrows from what goes now */
	return r;
}

/* A gap reads like a frame: whoever shows stacks shows it, in its place. */
static int write_gap(struct writing *writing, uint64_t gap)
{
	Dhat__Location location = DHAT__LOCATION__INIT, *locations = &location;
	Dhat__Frame frame = DHAT__FRAME__INIT, *frames = &frame;
	Dhat__FrameBatch message = DHAT__FRAME_BATCH__INIT;
	char count[DHAT_UNIT_CHARS], text[2 * DHAT_UNIT_CHARS];

	dhat_format_count(gap >> 1, count);
	snprintf(text, sizeof(text), "[%s%s frame%s left out]", gap & 1 ? "more than " : "", count,
		 gap >> 1 == 1 ? "" : "s");
	location.function = text;
	frame.left_out = gap >> 1;
	frame.locations = &locations;
	frame.n_locations = 1;
	message.frames = &frames;
	message.n_frames = 1;
	return emit(writing, DHAT__SNAPSHOT_PART__PART_FRAMES, &message);
}

static int write_frames(struct writing *writing)
{
	uint32_t end;
	int r = 0;

	for (uint32_t i = 0; !r && i < writing->places.count; i = end) {
		const struct stack_frame *places = &writing->places.list[i];

		for (end = i + 1; end < writing->places.count; end++)
			if (writing->places.list[end].object != places->object)
				break;
		if (places->object == MAPPINGS_NO_OBJECT)
			r = write_nameless(writing, places, end - i);
		else
			r = write_object(writing, places, end - i);
	}
	for (uint32_t i = 0; !r && i < writing->gap_count; i++)
		r = write_gap(writing, writing->gaps[i]);
	return r;
}

/* ---- points ---- */

static void fill_frames(const struct writing *writing, const struct target_point *from,
			struct point_message *message)
{
	uint32_t *numbers = message->frames;
	size_t count = 0;

	for (uint32_t i = 0; i < from->frame_count; i++) {
		if (i == DHAT_INNER_FRAMES && from->left_out)
			numbers[count++] = number_of_gap(writing, from);
		numbers[count++] = writing->places.number_of_frame[from->first_frame + i];
	}
	if (from->left_out && from->frame_count <= DHAT_INNER_FRAMES)
		numbers[count++] = number_of_gap(writing, from);
	message->point.frames = numbers;
	message->point.n_frames = count;
}

/* At most POINT_MESSAGE_FRAMES small numbers each: below half a megabyte. */
#define POINTS_A_BATCH 1024

static int write_points(struct writing *writing)
{
	const struct target_copy *copy = writing->copy;
	_cleanup_free_ struct point_message *points = calloc(POINTS_A_BATCH, sizeof(*points));
	_cleanup_free_ Dhat__ProgramPoint **list = calloc(POINTS_A_BATCH, sizeof(*list));
	int r = 0;

	if (!points || !list)
		return -ENOMEM;
	for (uint32_t i = 0; !r && i < copy->point_count; i += POINTS_A_BATCH) {
		Dhat__PointBatch message = DHAT__POINT_BATCH__INIT;
		uint32_t left = copy->point_count - i;

		message.n_points = left < POINTS_A_BATCH ? left : POINTS_A_BATCH;
		message.points = list;
		for (uint32_t j = 0; j < message.n_points; j++) {
			const struct target_point *from = &copy->points[i + j];

			if (point_message_fill(copy, from, &points[j]))
				fill_frames(writing, from, &points[j]);
			if (writing->holds && !copy->view.generation)
				points[j].point.holds = holds_message_point(writing->holds, i + j);
			list[j] = &points[j].point;
		}
		r = emit(writing, DHAT__SNAPSHOT_PART__PART_POINTS, &message);
	}
	return r;
}

/* ---- the whole ---- */

/* The target's root directory, as long as it is still that process which has its number. */
static int open_root(const struct target_identity *identity)
{
	_cleanup_close_ int dir_fd = -1, fd = -1;

	if (proc_open_dir(identity->pid, &dir_fd))
		return -1;
	fd = openat(dir_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return proc_start_ticks(identity->pid) == identity->start_ticks ? take_fd(fd) : -1;
}

static int write_head(struct writing *writing)
{
	Dhat__SnapshotHead *head;
	int r;

	head = message_snapshot_head(writing->copy, clock_now_ns(CLOCK_REALTIME));
	if (!head)
		return -ENOMEM;
	r = emit(writing, DHAT__SNAPSHOT_PART__PART_HEAD, head);
	dhat__snapshot_head__free_unpacked(head, NULL);
	return r;
}

static int write_end(struct writing *writing)
{
	Dhat__SnapshotEnd *end;
	int r;

	if (writing->silent_count)
		add_note(writing, "%u further objects have frames without names or lines",
			 writing->silent_count);
	end = message_snapshot_end(writing->copy, writing->notes);
	if (!end)
		return -ENOMEM;
	if (writing->holds && writing->copy->view.generation)
		end->last_holds = holds_message_last(writing->holds);
	else if (writing->holds)
		end->holds = holds_message_whole(writing->holds);
	r = emit(writing, DHAT__SNAPSHOT_PART__PART_END, end);
	end->holds = NULL; /* not its own */
	end->last_holds = NULL;
	dhat__snapshot_end__free_unpacked(end, NULL);
	return r;
}

/* Frame lists that a copy claims lie within it. */
static bool is_sound(const struct target_copy *copy)
{
	for (uint32_t i = 0; i < copy->point_count; i++) {
		const struct target_point *point = &copy->points[i];

		if (point->frame_count > DHAT_MAX_FRAMES ||
		    point->first_frame > copy->frame_count ||
		    point->frame_count > copy->frame_count - point->first_frame)
			return false;
	}
	return true;
}

int snapshot_write(const struct target_copy *copy, const struct holds *holds,
		   struct symbolizer *symbolizer, bool without_names, snapshot_sink sink,
		   void *context, struct dhat_error *err)
{
	_cleanup_(writing_deinit) struct writing writing = {
		.copy = copy,
		.symbolizer = symbolizer,
		.without_names = without_names,
		.sink = sink,
		.context = context,
		.root_fd = open_root(&copy->identity),
	};
	int r = is_sound(copy) ? frame_places_init(&writing.places, copy) : -EINVAL;

	if (!r && holds)
		r = holds_message_new(copy, holds, &writing.holds);

	if (!r)
		r = find_gaps(&writing);
	if (!r)
		r = write_head(&writing);
	if (!r)
		r = write_frames(&writing);
	if (!r)
		r = write_points(&writing);
	if (!r)
		r = write_end(&writing);
	if (r < 0)
		return dhat_error_errno(err, -r, "cannot write the snapshot of process %d",
					copy->identity.pid);
	return r;
}
