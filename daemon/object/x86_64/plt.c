#include "daemon/object/machine/plt.h"

#include <dwarf.h>
#include <string.h>

/* [endbr64] [bnd] jmp *slot(%rip) */
uint64_t plt_slot(const uint8_t *code, size_t size, uint64_t vaddr)
{
	const uint8_t *p = code, *end = code + size;
	int32_t distance;

	if (end - p >= 4 && !memcmp(p, "\xf3\x0f\x1e\xfa", 4))
		p += 4;
	if (end - p >= 1 && *p == 0xf2)
		p++;
	if (end - p < 6 || p[0] != 0xff || p[1] != 0x25)
		return 0;
	memcpy(&distance, p + 2, 4);
	return vaddr + (p + 6 - code) + distance;
}

/* rsp + 8 + ((rip & 15) >= threshold) * 8: binutils, elf_x86_64_eh_frame_lazy_plt. Only the
 * threshold differs between kinds of PLT. */
bool plt_is_cfa(const uint8_t *expression, size_t size, int32_t *ret_threshold)
{
	static const uint8_t head[] = { DW_OP_breg7, 8, DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and };
	static const uint8_t tail[] = { DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus };
	uint8_t threshold;

	if (size != sizeof(head) + 1 + sizeof(tail) ||
	    memcmp(expression, head, sizeof(head)) != 0 ||
	    memcmp(expression + sizeof(head) + 1, tail, sizeof(tail)) != 0)
		return false;
	threshold = expression[sizeof(head)];
	if (threshold < DW_OP_lit0 || threshold > DW_OP_lit15)
		return false;
	*ret_threshold = threshold - DW_OP_lit0;
	return true;
}
