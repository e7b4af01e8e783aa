#include "redact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "proto/base/interned.h"
#include "proto/base/qualifiers.h"
#include "remake.h"

static const char note[] =
	"redacted: host, command line, paths, names of functions, probes, notes and reasons are "
	"left "
	"out; build ids and offsets are kept, by which whoever has the files can name the places";

/* Each message that may hold names is made anew (remake.h), and what is known to hold none is moved
 * into it. Points hold none, but in what holds their blocks, which goes. */

/* ---- frames -------------------------------------------------------------------------------- */

/* "object-1"; [vdso] and the like are the kernel's names. NULL: out of memory. */
static char *number_object(struct interned *objects, Dhat__Frame *frame)
{
	uint32_t number;
	char *text;

	if (!*frame->object || *frame->object == '[')
		return dhat_take_text(&frame->object);
	if (interned_add(objects, frame->object, &number) < 0 ||
	    asprintf(&text, "object-%" PRIu32, number + 1) < 0)
		return NULL;
	return text;
}

static int redact_frame(struct interned *objects, Dhat__Frame *frame, size_t number)
{
	Dhat__Frame *made;

	if (frame->left_out) /* no place: its name is ours */
		return 0;
	made = dhat_new_like(&frame->base);
	if (!made)
		return -ENOMEM;
	made->object = number_object(objects, frame);
	made->unnamed_reason = strdup(DHAT_REDACTED);
	if (!made->object || !made->unnamed_reason) {
		free(made->object);
		free(made->unnamed_reason);
		free(made);
		return -ENOMEM;
	}
	made->build_id = dhat_take_text(&frame->build_id);
	made->object_vaddr = frame->object_vaddr;
	made->is_exact_pc = frame->is_exact_pc;
	/* where no file is, places are still told apart */
	made->address = *made->object ? frame->object_vaddr : number;
	dhat_become(&frame->base, &made->base);
	return 0;
}

static int redact_frames(struct dhat_snapshot *snapshot)
{
	struct interned objects = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < snapshot->frame_count; i++)
		r = redact_frame(&objects, snapshot->frames[i], i + 1);
	interned_deinit(&objects);
	return r;
}

/* ---- the rest ------------------------------------------------------------------------------ */

/* "glibc 2.36 (libc.so.6)": without the file. */
static void move_allocators(Dhat__Target *from, Dhat__Target *to)
{
	to->allocators = from->allocators;
	to->n_allocators = from->n_allocators;
	from->allocators = NULL;
	from->n_allocators = 0;
	for (size_t i = 0; i < to->n_allocators; i++) {
		char *file = strchr(to->allocators[i], '(');

		if (file)
			*(file > to->allocators[i] ? file - 1 : file) = 0;
	}
}

static int redact_target(Dhat__Target *target)
{
	Dhat__Target *made = dhat_new_like(&target->base);

	if (!made)
		return -ENOMEM;
	made->pid = target->pid;
	made->uid = target->uid;
	made->command = strdup(DHAT_REDACTED);
	made->state = dhat_take_text(&target->state);
	made->state_detail = dhat_take_text(&target->state_detail);
	made->from_start = target->from_start;
	made->observed_since_unix_ns = target->observed_since_unix_ns;
	made->observed_ns = target->observed_ns;
	move_allocators(target, made);
	dhat_become(&target->base, &made->base);
	if (target->command)
		return 0;
	target->command = without_qualifiers(protobuf_c_empty_string);
	return -ENOMEM;
}

/* "mark-1": people name them. Figures of points are since them, so they stay. */
static int redact_marks(const Dhat__SnapshotHead *head)
{
	for (size_t i = 0; i < head->n_marks; i++) {
		char *name;

		if (asprintf(&name, "mark-%zu", i + 1) < 0)
			return -ENOMEM;
		if (*head->marks[i]->name) /* else it is nobody's */
			free(head->marks[i]->name);
		head->marks[i]->name = name;
	}
	return 0;
}

static int redact_head(Dhat__SnapshotHead *head)
{
	Dhat__SnapshotHead *made = dhat_new_head(head);

	if (!made)
		return -ENOMEM;
	made->has_ages = head->has_ages;
	made->has_pages = head->has_pages;
	made->older_ns = head->older_ns;
	made->lifetimes_since_ns = head->lifetimes_since_ns;
	if (*head->born && asprintf(&made->born, "at some time") < 0) { /* marks have names */
		made->born = without_qualifiers(protobuf_c_empty_string);
		protobuf_c_message_free_unpacked(&made->base, NULL);
		return -ENOMEM;
	}
	made->temporary_ns = head->temporary_ns;
	made->size_classes = dhat_take_text(&head->size_classes);
	made->marks = head->marks;
	made->n_marks = head->n_marks;
	head->marks = NULL;
	head->n_marks = 0;
	made->target = head->target;
	head->target = NULL;
	dhat_become(&head->base, &made->base);
	return redact_marks(head) < 0 ? -ENOMEM : redact_target(head->target);
}

static int redact_verdict(Dhat__Verdict *verdict)
{
	Dhat__Verdict *made = dhat_new_like(&verdict->base);

	if (!made)
		return -ENOMEM;
	made->exact = verdict->exact;
	made->word = dhat_take_text(&verdict->word);
	made->uncounted_bytes = verdict->uncounted_bytes;
	dhat_become(&verdict->base, &made->base);
	return 0;
}

/* One note; takes what is to be kept out of `from`. */
static int move_end(Dhat__SnapshotEnd *from, Dhat__SnapshotEnd *to)
{
	to->notes = calloc(1, sizeof(*to->notes));
	if (!to->notes)
		return -ENOMEM;
	to->notes[0] = strdup(note);
	if (!to->notes[0])
		return -ENOMEM;
	to->n_notes = 1;
	to->totals = from->totals;
	to->verdict = from->verdict;
	to->counters = from->counters;
	to->n_counters = from->n_counters;
	to->timeline = from->timeline;
	to->history = from->history;
	to->pages = from->pages;
	to->holds = from->holds;
	from->totals = NULL;
	from->verdict = NULL;
	from->counters = NULL;
	from->n_counters = 0;
	from->timeline = NULL;
	from->history = NULL;
	from->pages = NULL;
	from->holds = NULL;
	return 0;
}

/* A reason may name a file; a mark is named by people. */
static int redact_holds(Dhat__Holds *holds)
{
	if (holds && *holds->since) {
		free(holds->since);
		holds->since = strdup(DHAT_REDACTED);
		if (!holds->since)
			return -ENOMEM;
	}
	for (size_t i = 0; holds && i < holds->n_refusals; i++) {
		char *text = strdup(DHAT_REDACTED);

		if (!text)
			return -ENOMEM;
		free(holds->refusals[i]);
		holds->refusals[i] = text;
	}
	return 0;
}

static int redact_end(Dhat__SnapshotEnd *end)
{
	Dhat__SnapshotEnd *made = dhat_new_like(&end->base);

	if (!made)
		return -ENOMEM;
	if (move_end(end, made) < 0) {
		dhat__snapshot_end__free_unpacked(made, NULL);
		return -ENOMEM;
	}
	dhat_become(&end->base, &made->base);
	return redact_holds(end->holds) < 0 ? -ENOMEM : redact_verdict(end->verdict);
}

int dhat_redact(struct dhat_snapshot *snapshot)
{
	int r = redact_frames(snapshot);

	dhat_held_forget_chains(snapshot); /* roots are called as variables and threads are */
	if (r == 0)
		r = redact_head(without_qualifiers(snapshot->head));
	return r < 0 ? r : redact_end(without_qualifiers(snapshot->end));
}

bool dhat_is_redacted(const struct dhat_snapshot *snapshot)
{
	return !strcmp(snapshot->head->target->command, DHAT_REDACTED);
}
