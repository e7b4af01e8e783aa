#include "worker_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/object/families/role.h"
#include "daemon/object/machine/encoding.h"
#include "proto/base/cleanup.h"
#include "proto/base/qualifiers.h"

DEFINE_CLEANUP_PTR(struct survey *, survey_free)
DEFINE_CLEANUP_PTR(struct cfi_table *, cfi_table_free)

/* Flags of a question, a description and a site. */
enum {
	QUESTION_EXIT_PROBES = 1,
	QUESTION_MAPPERS = 2,
	QUESTION_CANDIDATES = 4,
	QUESTION_RESULTS = 8,
	QUESTION_EXECUTES = 16,
	DESC_STATIC = 1,
	DESC_SYMTAB = 2,
	DESC_GO = 4,
	DESC_PROGRAM = 8,
	SITE_HEADER = 1,
	SITE_UNKNOWN = 2,
	SITE_REFUSED = 4,
	SITE_EMULATED = 8,
	SITE_REPEATED = 16,
};
#define REGISTERS 16 /* that a cookie can name: bpf/dhat_abi.h */
#define CONDITIONS 16

/* ---- questions ---------------------------------------------------------------------------- */

void pack_put_question(struct wire_writer *writer, const struct survey_question *question)
{
	uint32_t count = 0;

	while (question->customs && question->customs[count])
		count++;
	wire_put_string(writer, question->path);
	wire_put_u32(writer, (question->use_exit_probes ? QUESTION_EXIT_PROBES : 0) |
				     (question->wants_mappers ? QUESTION_MAPPERS : 0) |
				     (question->wants_candidates ? QUESTION_CANDIDATES : 0) |
				     (question->may_execute ? QUESTION_EXECUTES : 0) |
				     (question->use_result_sites ? QUESTION_RESULTS : 0));
	wire_put_u32(writer, count);
	for (uint32_t i = 0; i < count; i++)
		wire_put_string(writer, question->customs[i]);
}

int pack_get_question(struct wire_reader *reader, struct survey_question *ret)
{
	char *path = wire_get_string(reader);
	uint32_t flags = wire_get_u32(reader);
	uint32_t count = wire_get_count(reader, sizeof(uint64_t));
	char **customs = calloc(count + 1ul, sizeof(*customs));
	bool is_whole = path && customs && !reader->is_short;

	for (uint32_t i = 0; i < count && is_whole; i++)
		is_whole = (customs[i] = wire_get_string(reader));
	*ret = (struct survey_question){
		.path = path,
		.customs = customs,
		.use_exit_probes = flags & QUESTION_EXIT_PROBES,
		.wants_mappers = flags & QUESTION_MAPPERS,
		.wants_candidates = flags & QUESTION_CANDIDATES,
		.use_result_sites = flags & QUESTION_RESULTS,
		.may_execute = flags & QUESTION_EXECUTES,
	};
	if (is_whole)
		return 0;
	pack_free_question(ret);
	return reader->is_short ? -EBADMSG : -ENOMEM;
}

void pack_free_question(struct survey_question *question)
{
	for (size_t i = 0; question->customs && question->customs[i]; i++)
		free(question->customs[i]);
	free(without_qualifiers(question->customs));
	free(without_qualifiers(question->path));
	*question = (struct survey_question){ 0 };
}

/* ---- surveys ------------------------------------------------------------------------------ */

static void put_desc(struct wire_writer *writer, const struct object_desc *desc)
{
	wire_put_u32(writer, desc->elf_class);
	wire_put_u32(writer, desc->machine);
	wire_put_u32(writer,
		     (desc->is_static ? DESC_STATIC : 0) | (desc->has_symtab ? DESC_SYMTAB : 0) |
			     (desc->is_go ? DESC_GO : 0) | (desc->is_program ? DESC_PROGRAM : 0));
	wire_put_u32(writer, desc->makers);
	wire_put_u32(writer, desc->copier);
	wire_put_bytes(writer, desc->build_id, desc->build_id_size);
	wire_put_string(writer, desc->soname);
	wire_put_string(writer, desc->libc_version);
	wire_put_string(writer, desc->malloc_version);
	wire_put_string(writer, desc->copier_name);
	wire_put_u32(writer, desc->segment_count);
	for (size_t i = 0; i < desc->segment_count; i++) {
		const struct object_segment *segment = &desc->segments[i];

		wire_put_u64(writer, segment->vaddr);
		wire_put_u64(writer, segment->file_offset);
		wire_put_u64(writer, segment->file_size);
		wire_put_u64(writer, segment->memory_size);
		wire_put_u32(writer, segment->is_executable);
		wire_put_u32(writer, segment->is_writable);
	}
	wire_put_u32(writer, desc->entry_count);
	for (size_t i = 0; i < desc->entry_count; i++) {
		wire_put_u64(writer, desc->entries[i].vaddr);
		wire_put_u32(writer, desc->entries[i].calls);
		wire_put_u32(writer,
			     desc->entries[i].maker | (uint32_t)desc->entries[i].is_inner << 16);
	}
}

static void put_instruction(struct wire_writer *writer, const struct dhat_instruction *instruction)
{
	wire_put(writer, instruction, sizeof(*instruction));
}

static int get_instruction(struct wire_reader *reader, struct dhat_instruction *ret)
{
	const void *bytes = wire_get(reader, sizeof(*ret));

	if (!bytes)
		return -EBADMSG;
	memcpy(ret, bytes, sizeof(*ret));
	return 0;
}

static void put_site(struct wire_writer *writer, const struct site *site)
{
	wire_put_string(writer, site->function);
	wire_put_string(writer, site->allocator);
	wire_put_string(writer, site->instruction);
	wire_put_string(writer, site->note);
	wire_put_u32(writer, site->role);
	wire_put_u32(writer, (site->has_header ? SITE_HEADER : 0) |
				     (site->is_unknown ? SITE_UNKNOWN : 0) |
				     (site->is_refused ? SITE_REFUSED : 0) |
				     (site->is_emulated ? SITE_EMULATED : 0) |
				     (site->is_repeated ? SITE_REPEATED : 0));
	wire_put_u32(writer, site->returns);
	wire_put_u64(writer, site->function_vaddr);
	wire_put_u64(writer, site->function_offset);
	wire_put_u64(writer, site->function_bytes);
	wire_put_u64(writer, site->vaddr);
	wire_put_u64(writer, site->file_offset);
	wire_put_u32(writer, site->byte);
	wire_put_u32(writer, site->sp_words);
	wire_put(writer, site->arg_reg, sizeof(site->arg_reg));
	put_instruction(writer, &site->by_us);
	wire_put_u32(writer, site->exit_count);
	for (size_t i = 0; i < site->exit_count; i++) {
		wire_put_u64(writer, site->exits[i].file_offset);
		wire_put_u32(writer, site->exits[i].result_reg);
		wire_put_u32(writer, site->exits[i].byte);
		put_instruction(writer, &site->exits[i].by_us);
	}
	wire_put_u32(writer, site->result_count);
	for (size_t i = 0; i < site->result_count; i++) {
		const struct site_result *result = &site->results[i];

		wire_put_u64(writer, result->file_offset);
		wire_put_u32(writer, result->kind);
		wire_put_u32(writer, result->byte);
		wire_put_u32(writer, result->address_reg);
		wire_put_u32(writer, result->size_reg);
		wire_put_u32(writer, result->sp_words);
		wire_put_u32(writer, result->frame_words);
		wire_put_u32(writer, result->condition);
		put_instruction(writer, &result->by_us);
	}
}

static void put_sites(struct wire_writer *writer, const struct sites *sites)
{
	wire_put_u32(writer, sites->count);
	for (size_t i = 0; i < sites->count; i++)
		put_site(writer, &sites->list[i]);
}

void pack_put_survey(struct wire_writer *writer, const struct survey *survey)
{
	put_desc(writer, &survey->desc);
	put_sites(writer, &survey->allocators);
	put_sites(writer, &survey->mappers);
	put_sites(writer, &survey->customs);
	put_sites(writer, &survey->candidates);
	wire_put_u32(writer, survey->hidden);
	wire_put_u32(writer, survey->customs_error);
	wire_put_u32(writer, survey->customs_why.code);
	wire_put_string(writer, survey->customs_why.message);
}

static int get_segments(struct wire_reader *reader, struct object_desc *desc)
{
	uint32_t count = wire_get_count(reader, 4 * sizeof(uint64_t) + 2 * sizeof(uint32_t));

	desc->segments = calloc(count ? count : 1, sizeof(*desc->segments));
	if (!desc->segments)
		return -ENOMEM;
	for (; desc->segment_count < count; desc->segment_count++) {
		struct object_segment *segment = &desc->segments[desc->segment_count];

		segment->vaddr = wire_get_u64(reader);
		segment->file_offset = wire_get_u64(reader);
		segment->file_size = wire_get_u64(reader);
		segment->memory_size = wire_get_u64(reader);
		segment->is_executable = wire_get_u32(reader);
		segment->is_writable = wire_get_u32(reader);
	}
	return reader->is_short ? -EBADMSG : 0;
}

static int get_entries(struct wire_reader *reader, struct object_desc *desc)
{
	uint32_t count = wire_get_count(reader, sizeof(uint64_t) + 2 * sizeof(uint32_t)), maker;

	if (count > OBJECT_MAX_ENTRIES)
		return -EBADMSG;
	for (; desc->entry_count < count; desc->entry_count++) {
		desc->entries[desc->entry_count].vaddr = wire_get_u64(reader);
		desc->entries[desc->entry_count].calls = wire_get_u32(reader);
		maker = wire_get_u32(reader);
		desc->entries[desc->entry_count].maker = maker & 0xffff;
		desc->entries[desc->entry_count].is_inner = maker >> 16 & 1;
	}
	return reader->is_short ? -EBADMSG : 0;
}

/* A text that fits into a field; what the field held before were zeros. */
static int get_text(struct wire_reader *reader, char *ret, size_t room)
{
	size_t size;
	const void *bytes = wire_get_bytes(reader, &size);

	if (!bytes || size >= room)
		return -EBADMSG;
	memcpy(ret, bytes, size);
	return 0;
}

static int get_desc(struct wire_reader *reader, struct object_desc *desc)
{
	const void *bytes;
	uint32_t flags;
	size_t size;
	int r;

	desc->elf_class = wire_get_u32(reader);
	desc->machine = wire_get_u32(reader);
	flags = wire_get_u32(reader);
	desc->is_static = flags & DESC_STATIC;
	desc->has_symtab = flags & DESC_SYMTAB;
	desc->is_go = flags & DESC_GO;
	desc->is_program = flags & DESC_PROGRAM;
	desc->makers = wire_get_u32(reader);
	desc->copier = wire_get_u32(reader);
	bytes = wire_get_bytes(reader, &size);
	if (!bytes || size > sizeof(desc->build_id) || desc->copier > COPIER_DOES)
		return -EBADMSG;
	memcpy(desc->build_id, bytes, size);
	desc->build_id_size = size;
	if (get_text(reader, desc->soname, sizeof(desc->soname)) ||
	    get_text(reader, desc->libc_version, sizeof(desc->libc_version)) ||
	    get_text(reader, desc->malloc_version, sizeof(desc->malloc_version)) ||
	    get_text(reader, desc->copier_name, sizeof(desc->copier_name)))
		return -EBADMSG;
	r = get_segments(reader, desc);
	return r ? r : get_entries(reader, desc);
}

static bool is_in_code(const struct object_desc *desc, uint64_t file_offset)
{
	for (size_t i = 0; i < desc->segment_count; i++) {
		const struct object_segment *segment = &desc->segments[i];

		if (segment->is_executable && file_offset >= segment->file_offset &&
		    file_offset - segment->file_offset < segment->file_size)
			return true;
	}
	return false;
}

/* See encoding_suits(). */
static bool suits_result(const struct site_result *result)
{
	const uint8_t needed[] = { result->size_reg, result->address_reg };
	bool is_found = result->kind == SITE_RESULT_HERE, is_end = result->kind == SITE_RESULT_END;

	/* a jump that is looked at whichever way it goes is the kernel's */
	return !result->by_us.operation ||
	       (result->condition == DHAT_RESULT_ALWAYS &&
		encoding_suits(&result->by_us, needed, is_end ? 0 : 1 + is_found));
}

/* A function that is nothing but a ret has that at its entry, where others may want its return. */
static bool is_sound_exit(const struct object_desc *desc, const struct site *site,
			  const struct site_exit *exit)
{
	bool is_ret = exit->by_us.operation == DHAT_OPERATION_RET &&
		      exit->file_offset != site->function_offset;

	return exit->result_reg < REGISTERS && (is_ret || !exit->by_us.operation) &&
	       is_in_code(desc, exit->file_offset);
}

static bool is_sound_result(const struct object_desc *desc, const struct site_result *result)
{
	bool is_begin = result->kind == SITE_RESULT_BEGIN || result->kind == SITE_RESULT_ENTRY;
	bool is_saved = result->size_reg == DHAT_RESULT_SAVED && !is_begin;
	/* what begins does so on each way */
	uint8_t last_condition = is_begin ? DHAT_RESULT_ALWAYS : CONDITIONS;

	return result->kind <= SITE_RESULT_ENTRY && result->address_reg < REGISTERS &&
	       (result->size_reg < REGISTERS || is_saved) && result->condition <= last_condition &&
	       /* a return probe changes what the stack pointer points to */
	       (result->kind != SITE_RESULT_ENTRY || result->sp_words == 0) &&
	       suits_result(result) && is_in_code(desc, result->file_offset);
}

static bool is_sound_site(const struct object_desc *desc, const struct site *site)
{
	if (site->role >= DHAT_ROLE_COUNT || site->returns >= SITE_RETURNS_UNKNOWN)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(site->arg_reg); i++)
		if (site->arg_reg[i] >= REGISTERS)
			return false;
	for (size_t i = 0; i < site->exit_count; i++)
		if (!is_sound_exit(desc, site, &site->exits[i]))
			return false;
	for (size_t i = 0; i < site->result_count; i++)
		if (!is_sound_result(desc, &site->results[i]))
			return false;
	/* of result sites the place is one of those */
	if (site->returns != SITE_RETURNS_RESULTS &&
	    !encoding_suits(&site->by_us, site->arg_reg, role_args(site->role)))
		return false;
	return site->is_refused || is_in_code(desc, site->file_offset);
}

static int get_exits(struct wire_reader *reader, struct site *site)
{
	uint32_t count = wire_get_count(reader, sizeof(uint64_t) + 2 * sizeof(uint32_t) +
							sizeof(struct dhat_instruction));

	if (count > SITE_MAX_EXITS || (count && site->returns != SITE_RETURNS_EXITS))
		return -EBADMSG;
	site->exits = calloc(count ? count : 1, sizeof(*site->exits));
	if (!site->exits)
		return -ENOMEM;
	for (; site->exit_count < count; site->exit_count++) {
		site->exits[site->exit_count].file_offset = wire_get_u64(reader);
		site->exits[site->exit_count].result_reg = wire_get_u32(reader);
		site->exits[site->exit_count].byte = wire_get_u32(reader);
		if (get_instruction(reader, &site->exits[site->exit_count].by_us))
			return -EBADMSG;
	}
	return reader->is_short ? -EBADMSG : 0;
}

static int get_results(struct wire_reader *reader, struct site *site)
{
	uint32_t count = wire_get_count(reader, sizeof(uint64_t) + 7 * sizeof(uint32_t) +
							sizeof(struct dhat_instruction));
	bool has_results = site->returns == SITE_RETURNS_RESULTS;

	if (count > SITE_MAX_RESULTS || (count > 0) != has_results)
		return -EBADMSG;
	site->results = calloc(count ? count : 1, sizeof(*site->results));
	if (!site->results)
		return -ENOMEM;
	for (; site->result_count < count; site->result_count++) {
		struct site_result *result = &site->results[site->result_count];

		result->file_offset = wire_get_u64(reader);
		result->kind = wire_get_u32(reader);
		result->byte = wire_get_u32(reader);
		result->address_reg = wire_get_u32(reader);
		result->size_reg = wire_get_u32(reader);
		result->sp_words = wire_get_u32(reader);
		result->frame_words = wire_get_u32(reader);
		result->condition = wire_get_u32(reader);
		if (get_instruction(reader, &result->by_us))
			return -EBADMSG;
	}
	return reader->is_short ? -EBADMSG : 0;
}

static int get_site(struct wire_reader *reader, const struct object_desc *desc, struct site *site)
{
	const void *bytes;
	uint32_t flags;
	int r;

	site->function = wire_get_string(reader);
	if (!site->function)
		return reader->is_short ? -EBADMSG : -ENOMEM;
	if (get_text(reader, site->allocator, sizeof(site->allocator)) ||
	    get_text(reader, site->instruction, sizeof(site->instruction)) ||
	    get_text(reader, site->note, sizeof(site->note)))
		return -EBADMSG;
	site->role = wire_get_u32(reader);
	flags = wire_get_u32(reader);
	site->has_header = flags & SITE_HEADER;
	site->is_unknown = flags & SITE_UNKNOWN;
	site->is_refused = flags & SITE_REFUSED;
	site->is_emulated = flags & SITE_EMULATED;
	site->is_repeated = flags & SITE_REPEATED;
	site->returns = wire_get_u32(reader);
	site->function_vaddr = wire_get_u64(reader);
	site->function_offset = wire_get_u64(reader);
	site->function_bytes = wire_get_u64(reader);
	site->vaddr = wire_get_u64(reader);
	site->file_offset = wire_get_u64(reader);
	site->byte = wire_get_u32(reader);
	site->sp_words = wire_get_u32(reader);
	bytes = wire_get(reader, sizeof(site->arg_reg));
	if (!bytes)
		return -EBADMSG;
	memcpy(site->arg_reg, bytes, sizeof(site->arg_reg));
	if (get_instruction(reader, &site->by_us))
		return -EBADMSG;
	r = get_exits(reader, site);
	r = r ? r : get_results(reader, site);
	return r ? r : is_sound_site(desc, site) ? 0 : -EBADMSG;
}

static int get_sites(struct wire_reader *reader, const struct object_desc *desc,
		     struct sites *sites)
{
	/* names and numbers: see put_site() */
	uint32_t count = wire_get_count(reader, 9 * sizeof(uint64_t));
	int r = 0;

	if (count > SITES_MAX)
		return -EBADMSG;
	sites->list = calloc(count ? count : 1, sizeof(*sites->list));
	if (!sites->list)
		return -ENOMEM;
	/* counted first: what a half-read site owns is then freed with the others */
	while (sites->count < count && !r)
		r = get_site(reader, desc, &sites->list[sites->count++]);
	return r ? r : reader->is_short ? -EBADMSG : 0;
}

static int get_tail(struct wire_reader *reader, struct survey *survey)
{
	size_t candidates = survey->candidates.count;

	survey->hidden = wire_get_u32(reader);
	survey->customs_error = wire_get_u32(reader);
	survey->customs_why.code = wire_get_u32(reader);
	if (get_text(reader, survey->customs_why.message, sizeof(survey->customs_why.message)) ||
	    reader->is_short || reader->size || survey->hidden >> OBJECT_MAKER_COUNT ||
	    survey->customs_error < 0 || survey->customs_error > 4095 ||
	    (candidates && candidates != survey->desc.entry_count * SURVEY_CANDIDATES))
		return -EBADMSG;
	return 0;
}

int pack_get_survey(struct wire_reader *reader, struct survey **ret)
{
	_cleanup_(survey_free_ptr) struct survey *survey = calloc(1, sizeof(*survey));
	int r = survey ? get_desc(reader, &survey->desc) : -ENOMEM;

	if (!r)
		r = get_sites(reader, &survey->desc, &survey->allocators);
	if (!r)
		r = get_sites(reader, &survey->desc, &survey->mappers);
	if (!r)
		r = get_sites(reader, &survey->desc, &survey->customs);
	if (!r)
		r = get_sites(reader, &survey->desc, &survey->candidates);
	if (!r)
		r = get_tail(reader, survey);
	if (r)
		return r;
	*ret = take_ptr(survey);
	return 0;
}

/* ---- tables ------------------------------------------------------------------------------- */

void pack_put_table(struct wire_writer *writer, const struct cfi_table *table)
{
	wire_put_u64(writer, table->first_page_vaddr);
	wire_put_u32(writer, table->row_count);
	wire_put_u64(writer, table->code_bytes);
	wire_put(writer, table->code_bytes_by_cfa, sizeof(table->code_bytes_by_cfa));
	wire_put_u64(writer, table->unrepresentable_bytes);
	wire_put_u32(writer, table->unread_functions);
	wire_put_u32(writer, table->word_count);
	wire_put(writer, table->words, table->word_count * sizeof(uint64_t));
}

/* The kernel side searches between words [1 + page] and [2 + page]: numbers of rows that must not
 * decrease nor pass the end. */
static bool is_sound(const struct cfi_table *table)
{
	struct dhat_table_head head;
	uint64_t before = 0;

	if (!table->word_count)
		return false;
	memcpy(&head, &table->words[0], sizeof(head));
	if (head.row_count != table->row_count ||
	    (uint64_t)head.page_count + 2 + head.row_count != table->word_count)
		return false;
	for (uint32_t page = 0; page <= head.page_count; page++) {
		uint64_t first = table->words[1 + page];

		if (first < before || first > head.row_count)
			return false;
		before = first;
	}
	return true;
}

int pack_get_table(struct wire_reader *reader, uint32_t max_rows, struct cfi_table **ret)
{
	_cleanup_(cfi_table_free_ptr) struct cfi_table *table = calloc(1, sizeof(*table));
	const void *bytes;

	if (!table)
		return -ENOMEM;
	table->first_page_vaddr = wire_get_u64(reader);
	table->row_count = wire_get_u32(reader);
	table->code_bytes = wire_get_u64(reader);
	bytes = wire_get(reader, sizeof(table->code_bytes_by_cfa));
	if (bytes)
		memcpy(table->code_bytes_by_cfa, bytes, sizeof(table->code_bytes_by_cfa));
	table->unrepresentable_bytes = wire_get_u64(reader);
	table->unread_functions = wire_get_u32(reader);
	table->word_count = wire_get_count(reader, sizeof(uint64_t));
	bytes = wire_get(reader, table->word_count * sizeof(uint64_t));
	if (!bytes || reader->size || table->row_count > max_rows)
		return -EBADMSG;
	table->words = malloc(table->word_count ? table->word_count * sizeof(uint64_t) : 1);
	if (!table->words)
		return -ENOMEM;
	memcpy(table->words, bytes, table->word_count * sizeof(uint64_t));
	if (!is_sound(table))
		return -EBADMSG;
	*ret = take_ptr(table);
	return 0;
}

/* ---- scans -------------------------------------------------------------------------------- */

/* Wide numbers first, so that they are aligned in the bytes and need not be copied. */
void pack_put_scan(struct wire_writer *writer, const struct pack_scan *scan)
{
	wire_put_u64(writer, scan->count);
	wire_put_u64(writer, scan->range_count);
	wire_put_u64(writer, scan->limits.max_edges);
	wire_put_u64(writer, scan->limits.max_roots);
	wire_put(writer, scan->ranges, scan->range_count * sizeof(*scan->ranges));
}

int pack_get_scan(struct wire_reader *reader, struct pack_scan *ret)
{
	uint64_t count = wire_get_u64(reader), range_count = wire_get_u64(reader);

	ret->limits.max_edges = wire_get_u64(reader);
	ret->limits.max_roots = wire_get_u64(reader);
	if (count > REACH_MAX_BLOCKS || range_count > UINT32_MAX ||
	    ret->limits.max_edges > UINT32_MAX || ret->limits.max_roots > UINT32_MAX)
		return -EBADMSG;
	ret->count = count;
	ret->range_count = range_count;
	ret->ranges = wire_get(reader, range_count * sizeof(*ret->ranges));
	return reader->is_short || reader->size ? -EBADMSG : 0;
}

#define PAGE_BYTES 4096u

static uint64_t whole_pages(uint64_t bytes)
{
	return (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

struct pack_room pack_room_of(uint32_t block_count, const struct reach_limits *limits)
{
	struct pack_room room = { .many = whole_pages(block_count) };

	room.edges = room.many + whole_pages(reach_max_many(limits) * sizeof(struct reach_many));
	room.root_edges = room.edges + whole_pages(limits->max_edges * sizeof(uint32_t));
	room.root_gaps = room.root_edges + whole_pages(limits->max_roots * sizeof(uint32_t));
	room.runs = room.root_gaps + whole_pages(limits->max_roots);
	room.bytes = room.runs + whole_pages(limits->max_roots * sizeof(struct reach_root_run));
	return room;
}

void pack_put_found(struct wire_writer *writer, const struct reach_found *found)
{
	wire_put_u64(writer, found->read_bytes);
	wire_put_u64(writer, found->short_bytes);
	wire_put_u32(writer, found->block_count);
	wire_put_u32(writer, found->edge_count);
	wire_put_u32(writer, found->root_count);
	wire_put_u32(writer, found->many_count);
	wire_put_u32(writer, found->run_count);
}

int pack_get_found(struct wire_reader *reader, uint32_t block_count,
		   const struct reach_limits *limits, struct reach_found *ret)
{
	struct reach_found found = { 0 };

	found.read_bytes = wire_get_u64(reader);
	found.short_bytes = wire_get_u64(reader);
	found.block_count = wire_get_u32(reader);
	found.edge_count = wire_get_u32(reader);
	found.root_count = wire_get_u32(reader);
	found.many_count = wire_get_u32(reader);
	found.run_count = wire_get_u32(reader);
	if (reader->is_short || reader->size || found.block_count != block_count ||
	    found.edge_count > limits->max_edges || found.root_count > limits->max_roots ||
	    found.many_count > reach_max_many(limits) || found.run_count > found.root_count)
		return -EBADMSG;
	*ret = found;
	return 0;
}

/* ---- second looks --------------------------------------------------------------------------- */

/* A copy, to be freed; NULL: too few bytes, or no memory. */
static void *get_array(struct wire_reader *reader, size_t count, size_t element_size)
{
	const void *bytes = wire_get(reader, count * element_size);
	void *array = bytes || !count ? malloc(count * element_size + 1) : NULL;

	if (array && count)
		memcpy(array, bytes, count * element_size);
	return array;
}

void pack_put_closer_question(struct wire_writer *writer, const struct closer_question *question)
{
	wire_put_u64(writer, question->pair_count);
	wire_put_u64(writer, question->head_count);
	wire_put_u64(writer, question->image_count);
	wire_put(writer, question->pairs, question->pair_count * sizeof(*question->pairs));
	wire_put(writer, question->heads, question->head_count * sizeof(*question->heads));
	wire_put(writer, question->images, question->image_count * sizeof(*question->images));
}

int pack_get_closer_question(struct wire_reader *reader, struct closer_question *ret)
{
	uint64_t pairs = wire_get_u64(reader), heads = wire_get_u64(reader),
		 images = wire_get_u64(reader);

	if (pairs > CLOSER_MAX_QUESTIONS || heads > CLOSER_MAX_QUESTIONS || images > UINT32_MAX)
		return -EBADMSG;
	*ret = (struct closer_question){
		.pair_count = pairs,
		.head_count = heads,
		.image_count = images,
		.pairs = wire_get(reader, pairs * sizeof(*ret->pairs)),
		.heads = wire_get(reader, heads * sizeof(*ret->heads)),
		.images = wire_get(reader, images * sizeof(*ret->images)),
	};
	return reader->is_short || reader->size ? -EBADMSG : 0;
}

void pack_put_closer(struct wire_writer *writer, const struct closer_answer *answer)
{
	wire_put(writer, answer->places, answer->pair_count * sizeof(*answer->places));
	wire_put(writer, answer->heads, answer->head_count * sizeof(*answer->heads));
}

static bool is_in_image(const struct closer_question *question, uint64_t word)
{
	return !word || closer_leads_to_image(question, word);
}

static bool is_sound_closer(const struct closer_question *question,
			    const struct closer_answer *answer)
{
	for (uint32_t i = 0; i < answer->pair_count; i++) {
		const struct closer_place *place = &answer->places[i];

		if (!is_in_image(question, place->beside) ||
		    (place->at != CLOSER_NOWHERE &&
		     (place->at >= question->pairs[i].holder_bytes ||
		      place->into > question->pairs[i].target_bytes)))
			return false;
	}
	for (uint32_t i = 0; i < answer->head_count; i++)
		for (size_t j = 0; j < CLOSER_WORDS; j++)
			if (!is_in_image(question, answer->heads[i].words[j]))
				return false;
	return true;
}

int pack_get_closer(struct wire_reader *reader, const struct closer_question *question,
		    struct closer_answer *ret)
{
	_cleanup_(closer_answer_deinit) struct closer_answer answer = {
		.pair_count = question->pair_count, .head_count = question->head_count
	};

	answer.places = get_array(reader, answer.pair_count, sizeof(*answer.places));
	answer.heads = get_array(reader, answer.head_count, sizeof(*answer.heads));
	if (!answer.places || !answer.heads || reader->is_short || reader->size ||
	    !is_sound_closer(question, &answer))
		return -EBADMSG;
	*ret = answer;
	answer = (struct closer_answer){ 0 };
	return 0;
}
