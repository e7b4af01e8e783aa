#include "cfi_endless.h"

#include <gelf.h>
#include <string.h>

#include "daemon/object/machine/flow.h"

/* Longer ones are real work, and no end of a stack. */
#define MAX_BYTES 4096

void cfi_texts_find(Elf *elf, struct cfi_texts *ret)
{
	Elf_Scn *scn = NULL;
	Elf_Data *data;
	GElf_Shdr shdr;

	ret->count = 0;
	while ((scn = elf_nextscn(elf, scn)) && ret->count < CFI_ENDLESS_TEXTS) {
		if (!gelf_getshdr(scn, &shdr) || shdr.sh_type != SHT_PROGBITS ||
		    !(shdr.sh_flags & SHF_EXECINSTR))
			continue;
		data = elf_rawdata(scn, NULL);
		if (!data || !data->d_buf)
			continue;
		ret->list[ret->count].vaddr = shdr.sh_addr;
		ret->list[ret->count].size = data->d_size;
		ret->list[ret->count++].bytes = data->d_buf;
	}
}

static const uint8_t *code_at(const struct cfi_texts *texts, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < texts->count; i++) {
		uint64_t vaddr = texts->list[i].vaddr, size = texts->list[i].size;

		if (start >= vaddr && start - vaddr < size && end - vaddr <= size)
			return texts->list[i].bytes + (start - vaddr);
	}
	return NULL;
}

bool cfi_is_endless(const struct cfi_texts *texts, uint64_t start, uint64_t end)
{
	const uint8_t *code =
		start < end && end - start <= MAX_BYTES ? code_at(texts, start, end) : NULL;

	return code && flow_may_be_endless(code, end - start) &&
	       flow_is_endless(code, end - start, start);
}
