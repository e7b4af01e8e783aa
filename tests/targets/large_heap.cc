/* A heap as a large service has it: large_heap. 2,048 functions with long names call each other, 24
 * deep, and share their outer frames as requests do. Lines on stdin: "live STACKS BLOCKS": each of
 * the first so many stacks allocates so many further blocks, of 16 to 79 bytes, and keeps them. The
 * book is printed after each. */
/* build: -std=c++17 -O1 -fno-optimize-sibling-calls */
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace acme::service
{

constexpr unsigned FUNCTIONS = 2048, DEPTH = 24;

struct Request {
	unsigned stack, blocks;
};
using Serve = void (*)(const Request &request, unsigned depth);
extern const std::array<Serve, FUNCTIONS> functions;

unsigned long live_bytes, live_blocks;

[[gnu::noinline]] void keep_blocks(const Request &request)
{
	for (unsigned i = 0; i < request.blocks; i++) {
		size_t size_bytes = 16 + (request.stack + i) % 64;
		void *p = malloc(size_bytes);

		__asm__ volatile("" : "+r"(p) : : "memory");
		if (!p)
			abort();
		live_bytes += size_bytes;
		live_blocks++;
	}
}

/* A tree: at each depth a bit of the stack's number decides between two neighbours, so that no two
 * stacks are the same. */
unsigned next_function(const Request &request, unsigned depth)
{
	unsigned parent = request.stack >> (DEPTH - depth);
	unsigned long mixed = (parent * DEPTH + depth + 1ul) * 6364136223846793005ul;

	return ((mixed >> 33) + (request.stack >> (DEPTH - 1 - depth) & 1)) % FUNCTIONS;
}

template <unsigned number, typename Next> struct Component {
	[[gnu::noinline]] static void serve_request(const Request &request, unsigned depth)
	{
		if (depth == DEPTH)
			keep_blocks(request);
		else
			functions[next_function(request, depth)](request, depth + 1);
		__asm__ volatile("" : : "i"(number) : "memory"); // no two are the same code
	}
};

template <unsigned... numbers>
constexpr std::array<Serve, FUNCTIONS> all_of(std::integer_sequence<unsigned, numbers...>)
{
	return { Component<numbers, std::pair<Request, unsigned long>>::serve_request... };
}
const std::array<Serve, FUNCTIONS> functions =
	all_of(std::make_integer_sequence<unsigned, FUNCTIONS>{});

} // namespace acme::service

int main()
{
	using namespace acme::service;
	static char line[64], output[BUFSIZ]; /* stdio allocates nothing, then */
	unsigned stacks, blocks;

	setvbuf(stdout, output, _IOLBF, sizeof(output));
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "live %u %u", &stacks, &blocks) != 2)
			return 1;
		for (unsigned i = 0; i < stacks; i++)
			functions[next_function({ i, blocks }, 0)]({ i, blocks }, 1);
		printf("{\"live_blocks\":%lu,\"live_bytes\":%lu}\n", live_blocks, live_bytes);
	}
	return 0;
}
