/* Call frame programs: the input is one FDE's instructions behind a good CIE. */
#include <dwarf.h>

#include "daemon/object/cfi/cfi.h"
#include "daemon/object/cfi/cfi_rows.h"
#include "daemon/object/machine/machine.h"
#include "fuzz.h"

struct seen {
	uint64_t at, end;
};

static int see(void *data, uint64_t start, uint64_t end, const struct cfi_state *state)
{
	struct seen *seen = data;
	struct dhat_row row;

	FUZZ_CHECK(start == seen->at && end > start && end <= seen->end);
	if (!cfi_row_of_state(state, false, &row) && row.cfa != DHAT_CFA_NO_RULE)
		FUZZ_CHECK(row.fp == DHAT_FP_UNDEFINED);
	cfi_row_of_state(state, true, &row);
	FUZZ_CHECK(row.cfa == DHAT_CFA_SIGNAL || row.cfa == DHAT_CFA_NO_RULE ||
		   row.cfa == DHAT_CFA_END);
	seen->at = end;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t initial[] = { DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1 };
	struct cfi_section section = { data, 0x400000 };
	struct cfi_cie cie = {
		.section = &section,
		.code_align = 1,
		.data_align = -8,
		.ra_reg = this_machine.dwarf_ra,
		.encoding = DW_EH_PE_pcrel | DW_EH_PE_sdata4,
	};
	struct seen seen = { 0x401000, 0x501000 };
	uint64_t bad_pc = 0;
	int r;

	FUZZ_CHECK(cfi_program_begin(&cie, initial, sizeof(initial)) == 0);
	r = cfi_program_run(&cie, data, size, seen.at, seen.end, see, &seen, &bad_pc);
	FUZZ_CHECK(seen.at == (r == 0 ? seen.end : bad_pc));
	cfi_program_begin(&cie, data, size);
	return 0;
}
