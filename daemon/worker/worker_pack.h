#pragma once
/* worker_pack: surveys, tables and scans as bytes for wire.h.
 *
 * Pure. The get side checks everything that its users rely on, whoever wrote the bytes: a worker
 * that was taken over may lie about names and rules, but not lead dhatd out of its own memory.
 */
#include "daemon/object/cfi/cfi_table.h"
#include "daemon/object/sites/survey.h"
#include "daemon/reach/closer.h"
#include "daemon/reach/scan.h"
#include "proto/base/wire.h"

/* What a question points to is the reader's: freed with pack_free_question(). */
void pack_put_question(struct wire_writer *writer, const struct survey_question *question);
int pack_get_question(struct wire_reader *reader, struct survey_question *ret);
void pack_free_question(struct survey_question *question);

/* Each place lies in code of the file, every number is in the range that its comment tells, or
 * -EBADMSG. What the file has at the places is not looked at: sites_are_of(). */
void pack_put_survey(struct wire_writer *writer, const struct survey *survey);
int pack_get_survey(struct wire_reader *reader, struct survey **ret);

void pack_put_table(struct wire_writer *writer, const struct cfi_table *table);
/* Head, page index and rows agree with each other and with word_count, or -EBADMSG. */
int pack_get_table(struct wire_reader *reader, uint32_t max_rows, struct cfi_table **ret);

/* What it points to is the reader's. Ranges are looked at by reach_scan(). */
struct pack_scan {
	const struct reach_range *ranges;
	uint32_t count, range_count;
	struct reach_limits limits;
};
void pack_put_scan(struct wire_writer *writer, const struct pack_scan *scan);
int pack_get_scan(struct wire_reader *reader, struct pack_scan *ret);

/* How what is found lies in memory that both sides share. */
struct pack_room {
	/* offsets; degrees are at 0 */
	uint64_t many, edges, root_edges, root_gaps, runs, bytes;
};
struct pack_room pack_room_of(uint32_t block_count, const struct reach_limits *limits);

/* Its numbers; arrays go by that memory. */
void pack_put_found(struct wire_writer *writer, const struct reach_found *found);
/* -EBADMSG: they are of other blocks, or beyond the limits. */
int pack_get_found(struct wire_reader *reader, uint32_t block_count,
		   const struct reach_limits *limits, struct reach_found *ret);

/* What it points to is the reader's. */
void pack_put_closer_question(struct wire_writer *writer, const struct closer_question *question);
int pack_get_closer_question(struct wire_reader *reader, struct closer_question *ret);
void pack_put_closer(struct wire_writer *writer, const struct closer_answer *answer);
/* As many answers as there were questions, each within its blocks, and words in images only; or
 * -EBADMSG. */
int pack_get_closer(struct wire_reader *reader, const struct closer_question *question,
		    struct closer_answer *ret);
