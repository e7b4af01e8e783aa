// A service of templates within templates: templates. "go" on stdin: ENTRIES keys are put into a
// cache that never forgets, and every tenth makes two objects that hold each other. Whole names
// have hundreds of characters.
/* build: -std=c++17 -O2 */
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

enum { ENTRIES = 1000 };

namespace acme::orders::pricing::v2
{

struct Order {
	std::string id;
	std::vector<double> prices;
};

template <class Key, class Value> class PriceCache
{
	std::unordered_map<std::string, std::map<Key, std::vector<Value>>> entries;

      public:
	template <class Make> __attribute__((noinline)) void put(const std::string &name, Make make)
	{
		entries.emplace(name, std::map<Key, std::vector<Value>>{})
			.first->second[make()]
			.emplace_back();
	}
};

static PriceCache<int, std::shared_ptr<Order>> cache;

struct Node {
	std::shared_ptr<Node> other;
	char name[300];
};

__attribute__((noinline)) static void login()
{
	auto one = std::make_shared<Node>(), two = std::make_shared<Node>();

	one->other = two;
	two->other = one;
}

__attribute__((noinline)) static void handle(int number)
{
	cache.put("customer number " + std::to_string(number) + " of the shop",
		  [number] { return number; });
	if (number % 10 == 0)
		login();
}

} // namespace acme::orders::pricing::v2

int main()
{
	char line[64];

	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < ENTRIES; i++)
			acme::orders::pricing::v2::handle(i);
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
