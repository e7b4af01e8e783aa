#include <algorithm>
#include <map>
#include <string>
#include <vector>

int main()
{
	std::map<std::string, std::vector<int>> m;

	for (int i = 0; i < 100; i++)
		m[std::to_string(i % 7)].push_back(i);
	for (auto &p : m)
		std::sort(p.second.begin(), p.second.end());
	return m.size() == 7 ? 0 : 1;
}
