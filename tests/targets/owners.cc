/* A C++ program with blocks whose types, holders and cycles are known. Says "ready"; at a line of
 * input makes them, and says "made"; at the next one ends.
 *
 *  1,000 pairs of a Session and a Peer that hold each other by shared_ptr: lost
 *  100   Circle and 100 Square in a list of the global `registry`, at +24: .shapes
 *  50    buffers of 16,384 bytes, each held by a pointer to its byte 100 only
 */
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

struct Peer;
struct Session {
	char name[40];
	std::shared_ptr<Peer> peer;
};
struct Peer {
	char name[72];
	std::shared_ptr<Session> session;
};

struct Shape {
	virtual ~Shape() = default;
	Shape *next = nullptr;
	char rest[32] = "";
};
struct Circle : Shape {
};
struct Square : Shape {
	char more[64] = "";
};

struct Registry {
	long numbers[3];
	Shape *shapes;
	char *slices[50];
};
Registry registry;

__attribute__((noinline)) static std::shared_ptr<Session> make_session()
{
	return std::make_shared<Session>();
}

__attribute__((noinline)) static std::shared_ptr<Peer> make_peer()
{
	return std::make_shared<Peer>();
}

__attribute__((noinline)) static void make_pair()
{
	std::shared_ptr<Session> session = make_session();

	session->peer = make_peer();
	session->peer->session = session;
}

__attribute__((noinline)) static Shape *make_shape(int i)
{
	if (i % 2)
		return new Square;
	return new Circle;
}

/* What the calls above have left behind on the stack is written over. */
__attribute__((noinline)) static void clean_stack()
{
	volatile char below[65536];

	for (volatile char &byte : below)
		byte = 0;
}

int main()
{
	char line[16];

	puts("ready");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = 0; i < 1000; i++)
		make_pair();
	for (int i = 0; i < 200; i++) {
		Shape *shape = make_shape(i);

		shape->next = registry.shapes;
		registry.shapes = shape;
	}
	for (char *&slice : registry.slices)
		slice = new char[16384]() + 100;
	clean_stack();
	puts("made");
	fflush(stdout);
	return !fgets(line, sizeof(line), stdin);
}
