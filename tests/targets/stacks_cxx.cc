/* Deep and odd C++ stacks: templates, lambdas, virtual calls, exceptions that unwind over frames
 * and allocate in their handlers, containers, std::function, sort with comparators that allocate,
 * and frames with a realigned stack: stacks_cxx [ROUNDS]. */
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace
{

volatile unsigned long sink;

template <int depth, typename Visit> struct Tower {
	[[gnu::noinline]] static unsigned long climb(Visit &visit)
	{
		return Tower<depth - 1, Visit>::climb(visit) + visit(depth);
	}
};
template <typename Visit> struct Tower<0, Visit> {
	[[gnu::noinline]] static unsigned long climb(Visit &visit)
	{
		return visit(0);
	}
};

struct Shape {
	virtual ~Shape() = default;
	virtual std::unique_ptr<Shape> grow(int levels) const = 0;
};
struct Leaf : Shape {
	std::string name = std::string(40, 'l');
	std::unique_ptr<Shape> grow(int levels) const override;
};
struct Branch : Shape {
	std::vector<std::unique_ptr<Shape>> below;
	std::unique_ptr<Shape> grow(int levels) const override
	{
		auto grown = std::make_unique<Branch>();
		for (int i = 0; i < 2; i++)
			grown->below.push_back(Leaf().grow(levels - 1));
		return grown;
	}
};
std::unique_ptr<Shape> Leaf::grow(int levels) const
{
	if (levels <= 0)
		return std::make_unique<Leaf>(*this);
	return Branch().grow(levels);
}

[[gnu::noinline]] unsigned long throw_from(int level)
{
	std::string held(30 + level, 'h'); /* freed while the exception passes */

	if (level == 0)
		throw std::runtime_error("thrown from far below: " + held);
	return throw_from(level - 1) + held.size();
}

[[gnu::noinline]] unsigned long catch_above(int level)
{
	try {
		return throw_from(level);
	} catch (const std::exception &error) {
		std::string copy = error.what(); /* allocated within a handler */
		return copy.size();
	}
}

/* 64-byte aligned locals in a function that calls: the stack pointer is realigned. */
[[gnu::noinline]] unsigned long aligned_frame(int levels)
{
	alignas(64) volatile char wide[128];

	wide[0] = (char)levels;
	std::string text(50 + levels, 'a');
	return (levels ? aligned_frame(levels - 1) : 0) + text.size() + (unsigned char)wide[0];
}

/* A frame whose size is known at run time only: rbp becomes its base. */
[[gnu::noinline]] unsigned long variable_frame(int levels)
{
	volatile char *room = (volatile char *)__builtin_alloca(100 + levels * 16);

	room[0] = 1;
	std::vector<int> numbers(10 + levels, levels);
	return (levels ? variable_frame(levels - 1) : 0) + numbers.size() + (unsigned char)room[0];
}

unsigned long one_round(int round)
{
	unsigned long sum = 0;
	auto visit = [&sum](int depth) {
		std::string text(25 + depth, 't');
		sum += text.size();
		return text.size();
	};
	sum += Tower<20, decltype(visit)>::climb(visit);

	std::function<unsigned long(int)> fold = [&fold](int n) -> unsigned long {
		auto block = std::make_unique<char[]>(n + 1);
		return n ? fold(n - 1) + 1 : 0;
	};
	sum += fold(15);

	std::map<std::string, std::variant<int, std::string>> map;
	for (int i = 0; i < 10; i++)
		map["a key that is too long to be kept in place " + std::to_string(i)] =
			std::to_string(round * i) + " and a value of some length";
	std::vector<std::string> words;
	for (const auto &entry : map)
		words.push_back(entry.first);
	std::sort(words.begin(), words.end(), [](std::string a, std::string b) { return a > b; });
	std::ostringstream out;
	for (const auto &word : words)
		out << word << ' ' << round;
	sum += out.str().size();

	sum += catch_above(round % 12);
	sum += aligned_frame(6) + variable_frame(6);
	sum += Leaf().grow(4) != nullptr;
	return sum;
}

} // namespace

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 20000;

	for (long i = 0; i < rounds; i++)
		sink += one_round((int)i);
	return 0;
}
