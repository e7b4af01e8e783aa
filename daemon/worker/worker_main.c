#include "worker_main.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/object/cfi/cfi.h"
#include "daemon/object/dwarf/data_naming.h"
#include "daemon/object/dwarf/naming.h"
#include "daemon/object/jit/jit_names.h"
#include "daemon/object/sites/surveyor.h"
#include "proto/base/cleanup.h"
#include "worker_link.h"
#include "worker_loop.h"
#include "worker_pack.h"

DEFINE_CLEANUP_PTR(struct survey *, survey_free)
DEFINE_CLEANUP_PTR(struct cfi_table *, cfi_table_free)
DEFINE_CLEANUP_PTR(struct names *, names_free)

static int survey(int fd, struct wire_reader *request, struct wire_writer *answer,
		  struct dhat_error *err)
{
	_cleanup_(survey_free_ptr) struct survey *survey = NULL;
	_cleanup_(pack_free_question) struct survey_question question = { 0 };
	int r = pack_get_question(request, &question);

	if (!r)
		r = survey_make(fd, &question, &survey, err);
	if (!r)
		pack_put_survey(answer, survey);
	return r;
}

static int build_cfi(int fd, struct wire_reader *request, struct wire_writer *answer,
		     struct dhat_error *err)
{
	_cleanup_(cfi_table_free_ptr) struct cfi_table *table = NULL;
	uint32_t max_rows = wire_get_u32(request);
	int r = cfi_build(fd, max_rows, &table, err);

	if (!r)
		pack_put_table(answer, table);
	return r;
}

/* Ask the daemon for a file; it answers before anything else comes. */
static int grant_by_daemon(void *context, const struct wish *wish)
{
	_cleanup_free_ uint8_t *data = NULL;
	struct wire_writer writer = { 0 };
	struct worker_head head;
	int fd = -1, r;

	wire_put_u32(&writer, wish->kind);
	wire_put_string(&writer, wish->name);
	wire_put_bytes(&writer, wish->build_id, wish->build_id_size);
	r = writer.is_failed
		    ? -ENOMEM
		    : worker_send(WORKER_SOCKET, WORKER_WISH, writer.data, writer.size, -1, 0);
	wire_writer_deinit(&writer);
	if (r)
		return -1;
	if (worker_receive(WORKER_SOCKET, 0, 0, &head, &data, &fd) || head.type != WORKER_GRANT)
		_exit(1); /* out of step with the daemon: it starts another one */
	return fd;
}

static void get_query(struct wire_reader *request, struct name_query *ret)
{
	ret->file_offset = wire_get_u64(request);
	ret->is_exact_pc = wire_get_u32(request);
}

/* The caller frees; NULL: no memory. */
static struct name_query *get_queries(struct wire_reader *request, uint32_t *ret_count)
{
	uint32_t count = wire_get_count(request, sizeof(uint64_t) + sizeof(uint32_t));
	struct name_query *queries = calloc(count ? count : 1, sizeof(*queries));

	*ret_count = queries ? count : 0;
	for (uint32_t i = 0; i < *ret_count; i++)
		get_query(request, &queries[i]);
	return queries;
}

static int name_jit(int fd, struct wire_reader *request, struct wire_writer *answer,
		    struct dhat_error *err)
{
	_cleanup_(names_free_ptr) struct names *names = NULL;
	uint32_t count = wire_get_count(request, 3 * sizeof(uint64_t) + sizeof(uint32_t));
	_cleanup_free_ struct jit_query *queries = calloc(count ? count : 1, sizeof(*queries));
	int r;

	if (!queries)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		get_query(request, &queries[i].place);
		queries[i].first_ns = wire_get_u64(request);
		queries[i].last_ns = wire_get_u64(request);
	}
	r = jit_name(fd, queries, count, &names, err);
	if (!r)
		names_put(answer, names);
	return r;
}

static int name(int fd, struct wire_reader *request, struct wire_writer *answer,
		struct dhat_error *err)
{
	const struct wish_granter granter = { .grant = grant_by_daemon };
	_cleanup_(names_free_ptr) struct names *names = NULL;
	bool places_only = wire_get_u32(request);
	uint32_t count;
	_cleanup_free_ struct name_query *queries = get_queries(request, &count);
	int r;

	if (!queries)
		return -ENOMEM;
	r = symbol_name(fd, queries, count, places_only, &granter, &names, err);
	if (!r)
		names_put(answer, names);
	return r;
}

static int name_data(int fd, struct wire_reader *request, struct wire_writer *answer,
		     struct dhat_error *err)
{
	const struct wish_granter granter = { .grant = grant_by_daemon };
	_cleanup_(names_free_ptr) struct names *names = NULL;
	bool with_members = wire_get_u32(request);
	uint32_t count;
	_cleanup_free_ struct name_query *queries = get_queries(request, &count);
	int r = queries ? data_name(fd, queries, count, with_members, &granter, &names, err)
			: -ENOMEM;

	if (!r)
		names_put(answer, names);
	return r;
}

#define POINTEE_BYTES (sizeof(uint32_t) + 4 * sizeof(uint64_t))

static int name_pointees(int fd, struct wire_reader *request, struct wire_writer *answer,
			 struct dhat_error *err)
{
	const struct wish_granter granter = { .grant = grant_by_daemon };
	_cleanup_(names_free_ptr) struct names *names = NULL;
	uint32_t count = wire_get_count(request, POINTEE_BYTES);
	_cleanup_free_ struct pointee_query *queries = calloc(count + 1ul, sizeof(*queries));
	int r;

	if (!queries)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		queries[i].parent = wire_get_u32(request);
		queries[i].at = wire_get_u64(request);
		queries[i].least_bytes = wire_get_u64(request);
		queries[i].most_bytes = wire_get_u64(request);
		queries[i].self_at = wire_get_u64(request);
	}
	r = data_pointees(fd, queries, count, &granter, &names, err);
	if (!r)
		names_put(answer, names);
	return r;
}

static ssize_t read_memory(void *context, uint64_t addr, void *buffer, size_t size)
{
	ssize_t n = addr > INT64_MAX ? -1 : pread(*(const int *)context, buffer, size, addr);

	return n < 0 ? -errno : n;
}

/* Blocks come, and what is found goes, by memory that is shared with the daemon: a message would be
 * there twice on both sides. */
static int map_shared(enum wish_kind kind, uint64_t bytes, void **ret)
{
	const struct wish wish = { .kind = kind, .name = "" };
	int protection = kind == WISH_ROOM ? PROT_READ | PROT_WRITE : PROT_READ;
	_cleanup_close_ int fd = grant_by_daemon(NULL, &wish);
	struct stat st;
	void *memory;

	*ret = NULL;
	if (!bytes)
		return 0;
	if (fd < 0 || fstat(fd, &st) || (uint64_t)st.st_size < bytes)
		return -EBADMSG;
	memory = mmap(NULL, bytes, protection, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	*ret = memory;
	return 0;
}

/* The worker ends with its answer, and its mappings do. */
static int scan_into(int fd, const struct pack_scan *asked, struct reach_found *found)
{
	const struct reach_source source = { read_memory, &fd };
	const struct pack_room room = pack_room_of(asked->count, &asked->limits);
	struct reach_places places = { .stride = sizeof(struct reach_block),
				       .count = asked->count };
	void *blocks, *memory;
	int r = map_shared(WISH_BLOCKS, asked->count * sizeof(struct reach_block), &blocks);

	if (!r)
		r = map_shared(WISH_ROOM, room.bytes, &memory);
	if (r)
		return r;
	places.first = blocks;
	found->degrees = memory;
	found->many = (struct reach_many *)(found->degrees + room.many);
	found->edges = (uint32_t *)(found->degrees + room.edges);
	found->root_edges = (uint32_t *)(found->degrees + room.root_edges);
	found->root_gaps = found->degrees + room.root_gaps;
	found->runs = (struct reach_root_run *)(found->degrees + room.runs);
	found->root_room = found->gap_room = found->run_room = asked->limits.max_roots;
	return reach_scan(&places, asked->ranges, asked->range_count, &source, &asked->limits,
			  found);
}

static int scan(int fd, struct wire_reader *request, struct wire_writer *answer,
		struct dhat_error *err)
{
	struct reach_found found = { 0 };
	struct pack_scan asked;
	int r = pack_get_scan(request, &asked);

	if (!r)
		r = scan_into(fd, &asked, &found);
	if (r)
		return dhat_error_errno(err, -r, "cannot scan memory");
	pack_put_found(answer, &found);
	return 0;
}

static int look_closer(int fd, struct wire_reader *request, struct wire_writer *answer,
		       struct dhat_error *err)
{
	const struct reach_source source = { read_memory, &fd };
	_cleanup_(closer_answer_deinit) struct closer_answer found = { 0 };
	struct closer_question asked;
	int r = pack_get_closer_question(request, &asked);

	if (!r)
		r = closer_look(&asked, &source, &found);
	if (r)
		return dhat_error_errno(err, -r, "cannot look at memory");
	pack_put_closer(answer, &found);
	return 0;
}

int worker_answer(uint32_t type, int fd, struct wire_reader *request, struct wire_writer *answer,
		  struct dhat_error *err)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return -EBADF;
	switch (type) {
	case WORKER_SURVEY:
		return survey(fd, request, answer, err);
	case WORKER_BUILD_CFI:
		return build_cfi(fd, request, answer, err);
	case WORKER_NAME:
		return name(fd, request, answer, err);
	case WORKER_NAME_JIT:
		return name_jit(fd, request, answer, err);
	case WORKER_NAME_DATA:
		return name_data(fd, request, answer, err);
	case WORKER_NAME_POINTEES:
		return name_pointees(fd, request, answer, err);
	case WORKER_SCAN:
		return scan(fd, request, answer, err);
	case WORKER_CLOSER:
		return look_closer(fd, request, answer, err);
	default:
		return -ENOSYS;
	}
}

int worker_main(int argc, char **argv)
{
	return worker_loop(argc > 2 ? strtoull(argv[2], NULL, 10) : 0, worker_answer);
}
