/* C++: operator new and delete in all forms, containers, and exceptions thrown over frames that
 * allocate: exceptions [ROUNDS] [no-failing]. Valgrind cannot let operator new fail by an
 * exception, so it is asked not to there. What the runtime allocates itself (exception objects, the
 * emergency pool) is known to Valgrind, not to the book kept here; the book holds what the
 * functions of this file ask for by name. */
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
#include <malloc.h>
}
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace
{

struct Book {
	unsigned long long total_bytes, total_blocks, live_bytes, live_blocks;
	void add(size_t size_bytes)
	{
		total_bytes += size_bytes;
		total_blocks++;
		live_bytes += size_bytes;
		live_blocks++;
	}
	void drop(size_t size_bytes)
	{
		live_bytes -= size_bytes;
		live_blocks--;
	}
} book;

struct alignas(128) Wide {
	char bytes[384];
};

[[gnu::noinline]] void opaque(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

[[gnu::noinline]] void plain_forms()
{
	int *one = new int(5);
	char *many = new char[123];
	Wide *wide = new Wide;
	Wide *wides = new Wide[3];
	char *quiet = new (std::nothrow) char[77];

	opaque(one), opaque(many), opaque(wide), opaque(wides), opaque(quiet);
	book.add(sizeof(int)), book.add(123), book.add(sizeof(Wide)), book.add(3 * sizeof(Wide));
	book.add(77);
	delete one;
	delete[] many;
	delete wide;
	delete[] wides;
	book.drop(sizeof(int)), book.drop(123), book.drop(sizeof(Wide)),
		book.drop(3 * sizeof(Wide));
	/* quiet stays */
}

[[gnu::noinline]] void failing_forms()
{
	volatile size_t impossible = SIZE_MAX / 4;
	bool was_thrown = false;

	try {
		opaque(operator new(impossible));
	} catch (const std::bad_alloc &) {
		was_thrown = true;
	}
	if (!was_thrown || operator new(impossible, std::nothrow))
		_exit(1);
}

[[gnu::noinline]] int thrower(int depth, const std::string &text)
{
	std::unique_ptr<char[]> guard(new char[200 + depth]);

	opaque(guard.get());
	book.add(200 + depth);
	struct Drop {
		int depth;
		~Drop()
		{
			book.drop(200 + depth);
		}
	} drop{ depth };
	if (depth == 0)
		throw std::runtime_error(text);
	return thrower(depth - 1, text) + 1;
}

[[gnu::noinline]] void containers(size_t count)
{
	std::vector<uint64_t> numbers;
	std::vector<std::string> texts;

	for (size_t i = 0; i < count; i++) {
		numbers.push_back(i);
		texts.push_back(std::string(i % 64, 'x'));
	}
	if (numbers.size() != texts.size())
		_exit(1);
}

} // namespace

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], nullptr, 10) : 300;
	bool with_failing = argc <= 2 || strcmp(argv[2], "no-failing");
	long caught = 0;
	char line[256];

	for (long i = 0; i < rounds; i++) {
		plain_forms();
		if (with_failing)
			failing_forms();
		containers(i % 100);
		try {
			thrower(i % 20, "a text that is too long for the small-string buffer");
		} catch (const std::runtime_error &) {
			caught++;
		}
	}
	int len = snprintf(line, sizeof(line),
			   "{\"total_bytes\":%llu,\"total_blocks\":%llu,\"live_bytes\":%llu,"
			   "\"live_blocks\":%llu,\"caught\":%ld}\n",
			   book.total_bytes, book.total_blocks, book.live_bytes, book.live_blocks,
			   caught);
	return write(1, line, len) == len && caught == rounds ? 0 : 1;
}
