#pragma once
/* worker_pack: descriptions and tables as bytes for wire.h.
 *
 * Pure. The get side checks everything that its users rely on, whoever wrote the bytes: a worker
 * that was taken over may lie about names and rules, but not lead dhatd out of its own memory.
 */
#include "daemon/object/cfi/cfi.h"
#include "daemon/object/elf/object.h"
#include "proto/base/wire.h"

void pack_put_desc(struct wire_writer *writer, const struct object_desc *desc);
int pack_get_desc(struct wire_reader *reader, struct object_desc **ret);

void pack_put_table(struct wire_writer *writer, const struct cfi_table *table);
/* Head, page index and rows agree with each other and with word_count, or -EBADMSG. */
int pack_get_table(struct wire_reader *reader, uint32_t max_rows, struct cfi_table **ret);
