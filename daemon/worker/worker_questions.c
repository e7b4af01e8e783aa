/* What dhatd asks its workers, and the check of what they answer. */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>

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

/* Both kinds of names are asked for and answered alike. */
static int ask_names(struct worker *worker, const struct worker_question *question,
		     struct wire_writer *request, const struct name_query *queries, uint32_t count,
		     struct names **ret, struct dhat_error *err)
{
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r;

	wire_put_u32(request, count);
	for (uint32_t i = 0; i < count; i++) {
		wire_put_u64(request, queries[i].file_offset);
		wire_put_u32(request, queries[i].is_exact_pc);
	}
	r = ask(worker, question, &answer, &reader, err);
	if (!r && names_get(&reader, count, ret))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				   "the ELF worker gave senseless names");
	wire_writer_deinit(request);
	return r;
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

int worker_name_jit(struct worker *worker, int fd, const struct name_query *queries, uint32_t count,
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

	return ask_names(worker, &question, &request, queries, count, ret, err);
}

int worker_name_data(struct worker *worker, int fd, const struct name_query *queries,
		     uint32_t count, const struct wish_granter *granter, struct names **ret,
		     struct dhat_error *err)
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

	return ask_names(worker, &question, &request, queries, count, ret, err);
}

int worker_scan(struct worker *worker, int memory_fd, const struct reach_block *blocks,
		uint32_t count, const struct reach_range *ranges, uint32_t range_count,
		const struct reach_limits *limits, struct reach_found *ret, struct dhat_error *err)
{
	struct wire_writer request = { 0 };
	const struct worker_question question = {
		.type = WORKER_SCAN,
		.kind = WORKER_SCANS,
		.fd = memory_fd,
		.request = &request,
		.max_answer = WORKER_MAX_MESSAGE_BYTES,
	};
	_cleanup_free_ uint8_t *answer = NULL;
	struct wire_reader reader = { 0 };
	int r;

	if (16ull * count + range_count * sizeof(*ranges) > WORKER_MAX_MESSAGE_BYTES - 4096)
		return dhat_error_set(err, E2BIG, DHAT_EXIT_FAILED,
				      "%u blocks are more than one scan can take", count);
	pack_put_scan(&request, blocks, count, ranges, range_count, limits);
	r = ask(worker, &question, &answer, &reader, err);
	if (!r && pack_get_found(&reader, count, ret))
		r = dhat_error_set(err, EBADMSG, DHAT_EXIT_FAILED,
				   "the scanning worker gave a senseless answer");
	wire_writer_deinit(&request);
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
