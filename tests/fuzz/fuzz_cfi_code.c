/* Functions without call frame information: any bytes as their code. */
#include "daemon/object/machine/cfi_code.h"
#include "fuzz.h"

#define CODE 0x401000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cfi_code_range ranges[] = { { CODE, CODE + size / 2, data },
					   { CODE + size / 2 + 16, CODE + 16 + size,
					     data + size / 2 } };
	uint64_t entries[] = { CODE, CODE + 16, CODE + size / 2 + 16, CODE + size - 1 };
	uint64_t pointers[] = { CODE + 5, UINT64_MAX };
	uint64_t noreturn[] = { CODE + 32, CODE + size + 100 };
	struct cfi_code code = { .ranges = ranges,
				 .range_count = 2,
				 .entries = entries,
				 .entry_count = 4,
				 .pointers = pointers,
				 .pointer_count = 2,
				 .noreturn = noreturn,
				 .noreturn_count = 2 };
	struct cfi_code_piece *pieces = NULL;
	size_t i, count = 0;

	if (size < 4 || size > 4096)
		return 0;
	code.outermost = data[0] & 1 ? CODE + 8 : 0;
	code.max_instructions = data[0] & 2 ? size : 0;
	FUZZ_CHECK(cfi_code_read(&code, &pieces, &count) == 0);
	for (i = 0; i < count; i++) {
		FUZZ_CHECK(pieces[i].start < pieces[i].end);
		FUZZ_CHECK(i == 0 || pieces[i - 1].end <= pieces[i].start);
		FUZZ_CHECK(pieces[i].start >= CODE && pieces[i].end <= CODE + size + 16);
		FUZZ_CHECK((pieces[i].row.cfa & DHAT_CFA_KIND) &&
			   (pieces[i].row.cfa & DHAT_CFA_KIND) <= DHAT_CFA_END);
	}
	free(pieces);
	return 0;
}
