#pragma once
/* size_classes: how many bytes an allocator gives for a block of a size, as far as that is a rule.
 *
 * Pure. glibc (malloc/malloc.c, request2size() and MINSIZE): chunks are multiples of 16 with a word
 * before the block; a block may use the next chunk's first word. Two things are not in it: what
 * glibc maps by itself (from 128 KiB on, or 32 MiB as the threshold moves) is up to a page larger,
 * and a chunk whose rest would be too small is handed out whole, 16 bytes larger. jemalloc from 4.0
 * on (size_classes.sh, sc.h): 8, multiples of 16 up to 128, then four a doubling. tcmalloc,
 * mimalloc and others have tables that differ by version: not known.
 */
#include <stdint.h>

enum size_classes { SIZE_CLASSES_NOT_KNOWN, SIZE_CLASSES_GLIBC, SIZE_CLASSES_JEMALLOC };

/* Of "glibc 2.36", "jemalloc 5.3.0". */
enum size_classes size_classes_of(const char *allocator);
const char *size_classes_name(enum size_classes classes); /* "glibc"; "": not known */

/* At least size_bytes, which is what it is where classes are not known. */
uint64_t size_classes_usable(enum size_classes classes, uint64_t size_bytes);
