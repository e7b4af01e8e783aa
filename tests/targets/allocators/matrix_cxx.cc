/* matrix_cxx: every replaceable operator new and delete of C++17. */
#include <new>

#include "matrix.h"

static constexpr std::align_val_t align_64{ 64 };

/* libstdc++ asks aligned_alloc for a multiple of the alignment; asking for one ourselves makes the
 * sums the same whose operators they are. */
static size_t rounded(size_t size)
{
	return ((size ? size : 1) + 63) / 64 * 64;
}

SITE void *use_new(size_t size)
{
	return ::operator new(size);
}
SITE void *use_new_for_sized(size_t size)
{
	return ::operator new(size);
}
SITE void *use_new_array(size_t size)
{
	return ::operator new[](size);
}
SITE void *use_new_nothrow(size_t size)
{
	return ::operator new(size, std::nothrow);
}
SITE void *use_new_array_nothrow(size_t size)
{
	return ::operator new[](size, std::nothrow);
}
SITE void *use_new_aligned(size_t size)
{
	return ::operator new(rounded(size), align_64);
}
SITE void *use_new_array_aligned(size_t size)
{
	return ::operator new[](rounded(size), align_64);
}
SITE void *use_new_aligned_nothrow(size_t size)
{
	return ::operator new(rounded(size), align_64, std::nothrow);
}

SITE void put_delete(void *block, size_t)
{
	::operator delete(block);
}
SITE void put_delete_sized(void *block, size_t size)
{
	::operator delete(block, size);
}
SITE void put_delete_nothrow(void *block, size_t)
{
	::operator delete(block, std::nothrow);
}
SITE void put_delete_array(void *block, size_t)
{
	::operator delete[](block);
}
SITE void put_delete_array_sized(void *block, size_t size)
{
	::operator delete[](block, size);
}
SITE void put_delete_aligned(void *block, size_t)
{
	::operator delete(block, align_64);
}
SITE void put_delete_array_aligned(void *block, size_t)
{
	::operator delete[](block, align_64);
}
SITE void put_delete_aligned_sized(void *block, size_t size)
{
	::operator delete(block, rounded(size), align_64);
}

extern "C" const struct api cxx_apis[] = {
	{ "use_new", use_new, put_delete, nullptr, 0 },
	{ "use_new_array", use_new_array, put_delete_array_sized, nullptr, 0 },
	{ "use_new_nothrow", use_new_nothrow, put_delete_nothrow, nullptr, 0 },
	{ "use_new_array_nothrow", use_new_array_nothrow, put_delete_array, nullptr, 0 },
	{ "use_new_aligned", use_new_aligned, put_delete_aligned_sized, nullptr, 64 },
	{ "use_new_array_aligned", use_new_array_aligned, put_delete_array_aligned, nullptr, 64 },
	{ "use_new_aligned_nothrow", use_new_aligned_nothrow, put_delete_aligned, nullptr, 64 },
	{ "use_new_for_sized", use_new_for_sized, put_delete_sized, nullptr, 0 },
	{ nullptr, nullptr, nullptr, nullptr, 0 },
};
