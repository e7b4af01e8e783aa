#pragma once
/* zero_page: does a page that was only read take memory of its own?
 *
 * Mostly the kernel maps one page of zeros for all of them, which counts as nobody's; in some
 * virtual machines (PVM) it has none. Told by the kernel's own count of what is resident.
 */
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

static inline long resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long size, resident = -1;

	if (file && fscanf(file, "%ld %ld", &size, &resident) != 2)
		resident = -1;
	if (file)
		fclose(file);
	return resident;
}

static inline bool reading_takes_memory(void)
{
	enum { PAGES = 2048, BYTES = PAGES * 4096 };
	volatile char *memory =
		mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *pages = (void *)(unsigned long)memory;
	long before = resident_pages(), after;

	if (pages == MAP_FAILED || madvise(pages, BYTES, MADV_NOHUGEPAGE))
		return false;
	for (int i = 0; i < BYTES; i += 4096)
		(void)memory[i];
	after = resident_pages(); /* some dozens of pages may not be counted yet */
	munmap(pages, BYTES);
	return after - before > PAGES / 2;
}
