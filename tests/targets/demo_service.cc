// demo_service: a small session and cache server with a leak, and its load generator. For make demo.
//
// demo_service serve SOCKET               until SIGTERM
// demo_service load SOCKET SECONDS        prints how many requests were answered rightly
//
// LOGIN user -> OK token        PUT token key value -> OK        GET token key -> VALUE …
// LOGOUT token -> OK. The leak: AuditTrail remembers who has logged out, and with the name keeps the
// whole session alive.
// build: -pthread -std=c++17
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

struct Session {
	explicit Session(const std::string &user) : user(user), preferences(512) {}

	std::string user;
	std::vector<char> preferences;
};

class AuditTrail {
public:
	// A name would do. The session stays for as long as the trail: for ever.
	void note_logout(std::shared_ptr<Session> session) { entries.push_back(std::move(session)); }

private:
	std::list<std::shared_ptr<Session>> entries;
};

class SessionStore {
public:
	std::string login(const std::string &user)
	{
		std::lock_guard<std::mutex> hold(lock);
		std::string token = "t" + std::to_string(++last_token);

		sessions[token] = load_profile(user);
		return token;
	}

	void logout(const std::string &token)
	{
		std::lock_guard<std::mutex> hold(lock);
		auto found = sessions.find(token);

		if (found == sessions.end())
			return;
		trail.note_logout(found->second);
		sessions.erase(found);
	}

private:
	static std::shared_ptr<Session> load_profile(const std::string &user)
	{
		return std::make_shared<Session>(user);
	}

	std::mutex lock;
	std::unordered_map<std::string, std::shared_ptr<Session>> sessions;
	AuditTrail trail;
	unsigned long last_token = 0;
};

// Healthy: holds the latest CAPACITY values.
class PageCache {
public:
	void put(const std::string &key, const std::string &value)
	{
		std::lock_guard<std::mutex> hold(lock);

		if (pages.emplace(key, value).second)
			order.push_back(key);
		if (order.size() > CAPACITY) {
			pages.erase(order.front());
			order.pop_front();
		}
	}

	std::string get(const std::string &key)
	{
		std::lock_guard<std::mutex> hold(lock);
		auto found = pages.find(key);

		return found == pages.end() ? "" : found->second;
	}

private:
	static constexpr size_t CAPACITY = 500;
	std::mutex lock;
	std::unordered_map<std::string, std::string> pages;
	std::list<std::string> order;
};

static SessionStore store;
static PageCache cache;

static std::string handle_request(const std::string &line)
{
	std::istringstream words(line);
	std::string verb, first, key, value;

	words >> verb >> first >> key >> value;
	if (verb == "LOGIN")
		return "OK " + store.login(first);
	if (verb == "LOGOUT")
		store.logout(first);
	else if (verb == "PUT")
		cache.put(key, value);
	else if (verb == "GET")
		return "VALUE " + cache.get(key);
	return "OK";
}

// ---- lines over a socket ------------------------------------------------------------------------

class Wire {
public:
	explicit Wire(int fd) : fd(fd) {}
	~Wire() { close(fd); }

	bool receive(std::string &line)
	{
		size_t end;

		while ((end = buffer.find('\n')) == std::string::npos) {
			char bytes[4096];
			ssize_t n = read(fd, bytes, sizeof(bytes));

			if (n <= 0)
				return false;
			buffer.append(bytes, n);
		}
		line = buffer.substr(0, end);
		buffer.erase(0, end + 1);
		return true;
	}

	bool send(std::string line)
	{
		line += '\n';
		return ::send(fd, line.data(), line.size(), MSG_NOSIGNAL) == (ssize_t)line.size();
	}

	std::string ask(const std::string &line)
	{
		std::string answer;

		return send(line) && receive(answer) ? answer : "";
	}

private:
	int fd;
	std::string buffer;
};

static sockaddr_un address_of(const char *path)
{
	sockaddr_un address = {};

	address.sun_family = AF_UNIX;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static void serve_connection(int fd)
{
	Wire wire(fd);
	std::string line;

	while (wire.receive(line) && wire.send(handle_request(line)))
		;
}

static int serve(const char *path)
{
	sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), connection;

	if (bind(fd, (sockaddr *)&address, sizeof(address)) || listen(fd, 64)) {
		perror(path);
		return 1;
	}
	while ((connection = accept(fd, nullptr, nullptr)) >= 0)
		std::thread(serve_connection, connection).detach();
	return 1;
}

// ---- load -----------------------------------------------------------------------------------

static std::atomic<unsigned long> asked, answered;

static void expect(Wire &wire, const std::string &request, const std::string &answer)
{
	asked++;
	answered += wire.ask(request) == answer;
}

// A person's visit: login, some pages, logout; then a pause, so that the load is a known one.
static void visit(Wire &wire, unsigned long number)
{
	std::string answer = wire.ask("LOGIN user" + std::to_string(number));

	asked++;
	if (answer.rfind("OK t", 0) != 0)
		return;
	answered++;
	std::string token = answer.substr(3), page(200, 'a' + number % 26);
	for (int i = 0; i < 5; i++) {
		std::string key = token + "/page" + std::to_string(i);

		expect(wire, "PUT " + token + " " + key + " " + page, "OK");
		expect(wire, "GET " + token + " " + key, "VALUE " + page);
	}
	expect(wire, "LOGOUT " + token, "OK");
	std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

static void run_visitor(const char *path, double seconds)
{
	sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);

	if (connect(fd, (sockaddr *)&address, sizeof(address))) {
		perror(path);
		exit(1);
	}
	Wire wire(fd);
	for (unsigned long i = 0; std::chrono::steady_clock::now() < end; i++)
		visit(wire, i);
}

static int load(const char *path, double seconds)
{
	std::vector<std::thread> visitors;

	for (int i = 0; i < 4; i++)
		visitors.emplace_back(run_visitor, path, seconds);
	for (auto &visitor : visitors)
		visitor.join();
	printf("%lu requests, %lu answered rightly\n", asked.load(), answered.load());
	return asked != answered;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "load"))
		return load(argv[2], atof(argv[3]));
	fprintf(stderr, "usage: demo_service serve SOCKET | load SOCKET SECONDS\n");
	return 2;
}
