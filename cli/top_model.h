#pragma once
/* top_model: what `dhatctl top' shows: rows, how they have grown, and in which order.
 *
 * Pure. It is told of each answer (top_model_take()), and adds up the figures of the points to
 * rows; what a row is changes only when stacks are new, or other rows are asked for. M1: the sums
 * over the rows, and `before`, are those of the totals, where nothing is filtered out. M2: growth
 * is counted for each stack, so that it stays right whatever the rows are. What was there before
 * the attach is no row. Each function that may fail says -ENOMEM; the model may only be freed then.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/profile/filter.h"
#include "proto/profile/rendering.h"
#include "proto/profile/snapshot_view.h"

enum top_key {
	TOP_LIVE = 0,
	TOP_GROWTH,
	TOP_ALLOCS,
	TOP_BLOCKS,
	TOP_TOTAL,
	TOP_LOST, /* as of the last scan, if there was one */
	TOP_KEY_COUNT
};

/* "live", "growth", "allocs", "blocks", "total", "lost"; -EINVAL: none of them. */
int top_key_parse(const char *text, enum top_key *ret);
const char *top_key_name(enum top_key key);

struct top_row {
	const struct dhat_rendered_point *point; /* its lines; its figures are old */
	uint64_t live_bytes, live_blocks, total_bytes, total_blocks;
	uint64_t lost_bytes;
	uint64_t last_ns; /* latest allocation, since the observation began */
	/* live ones, since the baseline; or what was allocated since a mark, and lives */
	int64_t grown_bytes, grown_blocks;
	double allocs_per_second; /* between the last two answers */
};

#define TOP_HISTORY 256 /* moments that are kept; a power of two */

/* What was live, at fixed memory: when it is full each two moments become one, with the higher. */
struct top_history {
	uint64_t live_bytes[TOP_HISTORY];
	size_t count;
	uint32_t stride,
		pending; /* answers that are a moment; those that the last one has so far */
};
void top_history_add(struct top_history *history, uint64_t live_bytes);

struct top_options {
	struct dhat_table_options table; /* is_shown: NULL */
	struct dhat_filter *filter;	 /* borrowed; of the command line */
	enum top_key key;
};

struct top_model {
	struct top_options options; /* for reading; changed by the functions below */
	const struct dhat_snapshot *snapshot;
	struct dhat_rendering *table;
	struct top_row *rows; /* in order; those that ever had a block */
	size_t row_count;
	size_t selected;		      /* a row; 0 if there is none */
	uint64_t before_bytes, before_blocks; /* live, from before the attach */
	uint64_t shown_bytes;		      /* live, of all rows */
	int64_t grown_bytes;		      /* of the totals: as of rows */
	size_t since;			      /* a mark's number, plus 1; 0: the baseline */
	uint64_t baseline_ns;		      /* since the observation began */
	double seconds;			      /* between the last two answers; 0: there was one */
	double allocs_per_second, frees_per_second;
	struct top_history history;

	/* private */
	char *since_name; /* of the mark, which may come yet; NULL: the baseline */
	char *pattern;	  /* a filter that was typed; NULL: none */
	struct top_point *points;
	size_t point_count, point_room;
	Dhat__Totals last, baseline;
	size_t selected_point; /* a point of the selected row; SIZE_MAX: the first row, whatever it
				  is */
};

void top_model_init(struct top_model *model, const struct top_options *options);
void top_model_deinit(struct top_model *model);

/* After each answer. The view's snapshot is looked at until the next. */
int top_model_take(struct top_model *model, const struct dhat_view *view);
int top_model_set_by(struct top_model *model, enum dhat_by by);
/* Beside the command line's filters; "" or NULL: no more. */
int top_model_set_pattern(struct top_model *model, const char *pattern);
void top_model_sort(struct top_model *model, enum top_key key);
/* Growth counts from the last answer on. */
void top_model_set_baseline(struct top_model *model);
/* Growth is what was allocated since a mark and lives, block by block, as soon as there is one of
 * that name; NULL: since the baseline. */
int top_model_set_since(struct top_model *model, const char *name);
double top_model_baseline_seconds(const struct top_model *model);
/* Growth by the minute since the baseline; 0 where there is no time to tell. */
double top_model_a_minute(const struct top_model *model, int64_t bytes);

/* The selection stays with its row when the order changes; top_model_select_first(): with the
 * first row, whatever becomes that. */
void top_model_move(struct top_model *model, long rows);
void top_model_select_first(struct top_model *model);
/* The stacks of a row, each a row of *ret, whole. The caller frees. */
int top_model_open(const struct top_model *model, const struct top_row *row,
		   struct dhat_rendering **ret);
