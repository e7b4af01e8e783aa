#pragma once
/* sort: by a number of up to 64 bits, in place, without memory beside.
 *
 * Ten millions of elements take some 60 ns each, where qsort(3) takes 400. Digit by digit from the
 * highest that differs (an "American flag" sort): each element is swapped to where its digit's
 * elements are, until all of that digit are there. Elements with the same number come in any order.
 */
#include <stddef.h>
#include <stdint.h>

#define SORT_DIGIT_BITS 8
#define SORT_DIGITS (1u << SORT_DIGIT_BITS)
#define SORT_FEW 24 /* are sorted by insertion */

/* Defines `static void name(type *elements, size_t count)`. number_of: a function or macro from a
 * const type * to its number. Some eight levels deep. */
#define DEFINE_SORT_BY_NUMBER(name, type, number_of)                                               \
	static void name##_few(type *elements, size_t count)                                       \
	{                                                                                          \
		for (size_t i = 1; i < count; i++) {                                               \
			type element = elements[i];                                                \
			size_t at = i;                                                             \
                                                                                                   \
			for (; at && number_of(&elements[at - 1]) > number_of(&element); at--)     \
				elements[at] = elements[at - 1];                                   \
			elements[at] = element;                                                    \
		}                                                                                  \
	}                                                                                          \
                                                                                                   \
	static inline unsigned name##_digit(const type *element, unsigned shift)                   \
	{                                                                                          \
		return number_of(element) >> shift & (SORT_DIGITS - 1);                            \
	}                                                                                          \
                                                                                                   \
	static void name##_by_digit(type *elements, unsigned shift,                                \
				    const size_t ends[SORT_DIGITS])                                \
	{                                                                                          \
		size_t next[SORT_DIGITS];                                                          \
                                                                                                   \
		for (unsigned i = 0; i < SORT_DIGITS; i++)                                         \
			next[i] = i ? ends[i - 1] : 0;                                             \
		for (unsigned i = 0; i < SORT_DIGITS; i++) {                                       \
			while (next[i] < ends[i]) {                                                \
				type element = elements[next[i]];                                  \
				unsigned digit = name##_digit(&element, shift);                    \
                                                                                                   \
				while (digit != i) {                                               \
					type other = elements[next[digit]];                        \
                                                                                                   \
					elements[next[digit]++] = element;                         \
					element = other;                                           \
					digit = name##_digit(&element, shift);                     \
				}                                                                  \
				elements[next[i]++] = element;                                     \
			}                                                                          \
		}                                                                                  \
	}                                                                                          \
                                                                                                   \
	/* bits: the lowest so many may differ */                                                  \
	static void name##_bits(type *elements, size_t count, unsigned bits)                       \
	{                                                                                          \
		unsigned shift = bits > SORT_DIGIT_BITS ? bits - SORT_DIGIT_BITS : 0;              \
		size_t ends[SORT_DIGITS] = { 0 };                                                  \
                                                                                                   \
		if (count <= SORT_FEW) {                                                           \
			name##_few(elements, count);                                               \
			return;                                                                    \
		}                                                                                  \
		for (size_t i = 0; i < count; i++)                                                 \
			ends[name##_digit(&elements[i], shift)]++;                                 \
		for (unsigned i = 1; i < SORT_DIGITS; i++)                                         \
			ends[i] += ends[i - 1];                                                    \
		name##_by_digit(elements, shift, ends);                                            \
		for (unsigned i = 0; i < SORT_DIGITS && shift; i++) {                              \
			size_t begin = i ? ends[i - 1] : 0;                                        \
                                                                                                   \
			name##_bits(elements + begin, ends[i] - begin, shift);                     \
		}                                                                                  \
	}                                                                                          \
                                                                                                   \
	static void name(type *elements, size_t count)                                             \
	{                                                                                          \
		uint64_t differing = 0;                                                            \
                                                                                                   \
		for (size_t i = 1; i < count; i++)                                                 \
			differing |= number_of(&elements[i]) ^ number_of(&elements[0]);            \
		if (differing)                                                                     \
			name##_bits(elements, count, 64 - __builtin_clzll(differing));             \
	}
