/* What dhatd asks its workers, and the check of what they answer. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/cleanup.h"
#include "worker_ask.h"
#include "worker_link.h"
#include "worker_pack.h"

DEFINE_CLEANUP_PTR(struct survey *, survey_free)

/* *ret reads *ret_answer, which the caller frees. */
static int ask(struct worker *worker, const struct worker_question *question, uint8_t **ret_answer,
	       struct wire_reader *ret, struct dhat_error *err)
{
	size_t size = 0;
	int r = worker_ask(worker, question, ret_answer, &size, err);

	if (r == 0)
		*ret = (struct wire_reader){ .data = *ret_answer, .size = size };
	return r;
}

/* What is probed is what was looked at. */
static bool is_of(const struct survey *survey, int fd)
{
	return sites_are_of(&survey->allocators, fd) && sites_are_of(&survey->mappers, fd) &&
	       sites_are_of(&survey->customs, fd) && sites_are_of(&survey->candidates, fd);
}

int worker_survey(struct worker *worker, int fd, const struct survey_question *asked,
		  struct survey **ret, struct dhat_error *err)
{
	_cleanup_(survey_free_ptr) struct survey *survey = NULL;
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_SURVEY,
		.kind = WORKER_TABLES,
		.fd = fd,
		.request = &request,
		.max_answer = 64u << 20,
	};
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r;

	pack_put_question(&request, asked);
	r = ask(worker, &question, &answer, &reader, err);
	if (!r && (pack_get_survey(&reader, &survey) || !is_of(survey, fd)))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				   "the ELF worker gave a senseless description");
	wire_writer_deinit(&request);
	if (!r)
		*ret = take_ptr(survey);
	return r;
}

int worker_build_cfi(struct worker *worker, int fd, uint32_t max_rows, struct cfi_table **ret,
		     struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_BUILD_CFI,
		.kind = WORKER_TABLES,
		.fd = fd,
		.request = &request,
		/* rows, and a page index that describes a sparse object */
		.max_answer = max_rows * sizeof(uint64_t) + (64u << 20),
	};
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r;

	wire_put_u32(&request, max_rows);
	r = ask(worker, &question, &answer, &reader, err);
	if (!r && pack_get_table(&reader, max_rows, ret))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				   "the ELF worker gave a senseless unwind table");
	wire_writer_deinit(&request);
	return r;
}

static int await_names(struct worker *worker, const struct worker_question *question,
		       struct wire_writer *request, uint32_t count, struct names **ret,
		       struct dhat_error *err)
{
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r = ask(worker, question, &answer, &reader, err);

	if (!r && names_get(&reader, count, ret))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				   "the ELF worker gave senseless names");
	wire_writer_deinit(request);
	return r;
}

static void put_query(struct wire_writer *request, const struct name_query *query)
{
	wire_put_u64(request, query->file_offset);
	wire_put_u32(request, query->is_exact_pc);
}

/* Both kinds of names in files are asked for and answered alike. */
static int ask_names(struct worker *worker, const struct worker_question *question,
		     struct wire_writer *request, const struct name_query *queries, uint32_t count,
		     struct names **ret, struct dhat_error *err)
{
	wire_put_u32(request, count);
	for (uint32_t i = 0; i < count; i++)
		put_query(request, &queries[i]);
	return await_names(worker, question, request, count, ret, err);
}

int worker_name(struct worker *worker, int fd, const struct name_query *queries, uint32_t count,
		bool places_only, const struct wish_granter *granter, struct names **ret,
		struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_NAME,
		.kind = WORKER_NAMES,
		.fd = fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
		.granter = granter,
	};

	wire_put_u32(&request, places_only);
	return ask_names(worker, &question, &request, queries, count, ret, err);
}

int worker_name_jit(struct worker *worker, int fd, const struct jit_query *queries, uint32_t count,
		    struct names **ret, struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_NAME_JIT,
		.kind = WORKER_NAMES,
		.fd = fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
	};

	wire_put_u32(&request, count);
	for (uint32_t i = 0; i < count; i++) {
		put_query(&request, &queries[i].place);
		wire_put_u64(&request, queries[i].first_ns);
		wire_put_u64(&request, queries[i].last_ns);
	}
	return await_names(worker, &question, &request, count, ret, err);
}

int worker_name_data(struct worker *worker, int fd, const struct name_query *queries,
		     uint32_t count, bool with_members, const struct wish_granter *granter,
		     struct names **ret, struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_NAME_DATA,
		.kind = WORKER_NAMES,
		.fd = fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
		.granter = granter,
	};

	wire_put_u32(&request, with_members);
	return ask_names(worker, &question, &request, queries, count, ret, err);
}

int worker_name_pointees(struct worker *worker, int fd, const struct pointee_query *queries,
			 uint32_t count, const struct wish_granter *granter, struct names **ret,
			 struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_NAME_POINTEES,
		.kind = WORKER_NAMES,
		.fd = fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
		.granter = granter,
	};

	wire_put_u32(&request, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_u32(&request, queries[i].parent);
		wire_put_u64(&request, queries[i].at);
		wire_put_u64(&request, queries[i].least_bytes);
		wire_put_u64(&request, queries[i].most_bytes);
		wire_put_u64(&request, queries[i].self_at);
	}
	return await_names(worker, &question, &request, count, ret, err);
}

/* ---- scans ---- */

#define PIECE_BYTES (1u << 20)

struct lent {
	const struct shared *blocks;
	int room_fd;
};

static int lend(void *lent_, const struct wish *wish)
{
	const struct lent *lent = lent_;

	switch (wish->kind) {
	case WISH_BLOCKS:
		return shared_lend(lent->blocks);
	case WISH_ROOM:
		return fcntl(lent->room_fd, F_DUPFD_CLOEXEC, 0);
	default:
		return -1;
	}
}

static int make_room(const struct pack_room *room, int *ret_fd)
{
	_cleanup_close_ int fd = memfd_create("dhatd-scan", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, room->bytes))
		return -errno;
	*ret_fd = take_fd(fd);
	return 0;
}

/* A copy, piece by piece, and what was copied is given back: so it is there once. */
static int take_array(int fd, uint64_t offset, uint64_t size, void *ret)
{
	uint8_t **array = ret;
	uint64_t at = 0;

	*array = malloc(size + 1);
	if (!*array)
		return -ENOMEM;
	while (at < size) {
		size_t left = size - at < PIECE_BYTES ? size - at : PIECE_BYTES;
		ssize_t n = pread(fd, *array + at, left, offset + at);

		if (n <= 0)
			return -EIO;
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset + at, n);
		at += n;
	}
	return 0;
}

/* Looked at when it is a copy: the worker may have the memory still. */
static int take_found(int fd, const struct pack_room *room, struct reach_found *found)
{
	const struct {
		void *array;
		uint64_t offset, count, size;
	} arrays[] = {
		{ &found->degrees, 0, found->block_count, 1 },
		{ &found->many, room->many, found->many_count, sizeof(*found->many) },
		{ &found->edges, room->edges, found->edge_count, sizeof(*found->edges) },
		{ &found->root_edges, room->root_edges, found->root_count,
		  sizeof(*found->root_edges) },
		{ &found->root_gaps, room->root_gaps, found->root_count, 1 },
		{ &found->runs, room->runs, found->run_count, sizeof(*found->runs) },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(arrays) && r == 0; i++)
		r = take_array(fd, arrays[i].offset, arrays[i].count * arrays[i].size,
			       arrays[i].array);
	found->root_room = found->gap_room = found->root_count;
	found->run_room = found->run_count;
	if (r == 0 && !reach_found_is_sound(found, found->block_count))
		r = -EBADMSG;
	return r ? r : reach_found_index(found);
}

static int scan(struct worker *worker, int memory_fd, struct lent *lent,
		const struct pack_scan *scan, const struct pack_room *room, struct reach_found *ret,
		struct dhat_error *err)
{
	const struct wish_granter granter = { lend, lent };
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_SCAN,
		.kind = WORKER_SCANS,
		.fd = memory_fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
		.granter = &granter,
	};
	_cleanup_(reach_found_deinit) struct reach_found found = { 0 };
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r;

	pack_put_scan(&request, scan);
	r = ask(worker, &question, &answer, &reader, err);
	wire_writer_deinit(&request);
	if (r)
		return r;
	r = pack_get_found(&reader, scan->count, &scan->limits, &found);
	if (r == 0)
		r = take_found(lent->room_fd, room, &found);
	if (r == -EBADMSG)
		return dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				      "the scanning worker gave a senseless answer");
	if (r)
		return dhat_error_errno(err, -r, "cannot take what the scanning worker has found");
	*ret = found;
	found = (struct reach_found){ 0 };
	return 0;
}

int worker_scan(struct worker *worker, int memory_fd, const struct shared *blocks, uint32_t count,
		const struct reach_range *ranges, uint32_t range_count,
		const struct reach_limits *limits, struct reach_found *ret, struct dhat_error *err)
{
	const struct pack_scan asked = {
		.ranges = ranges, .count = count, .range_count = range_count, .limits = *limits
	};
	const struct pack_room room = pack_room_of(count, limits);
	struct lent lent = { blocks, -1 };
	int r = make_room(&room, &lent.room_fd);

	if (r)
		return dhat_error_errno(err, -r, "cannot share memory with the scanning worker");
	r = scan(worker, memory_fd, &lent, &asked, &room, ret, err);
	cleanup_close_fd(&lent.room_fd);
	return r;
}

int worker_look_closer(struct worker *worker, int memory_fd, const struct closer_question *asked,
		       struct closer_answer *ret, struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_CLOSER,
		.kind = WORKER_SCANS,
		.fd = memory_fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
	};
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r;

	pack_put_closer_question(&request, asked);
	r = ask(worker, &question, &answer, &reader, err);
	if (!r && pack_get_closer(&reader, asked, ret))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				   "the scanning worker gave a senseless answer");
	wire_writer_deinit(&request);
	return r;
}
