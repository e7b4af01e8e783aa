/* container: paths of control groups as the runtimes make them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "daemon/proc/container.h"
#include "proto/base/array.h"
#include "proto/base/cleanup.h"

#define ID "3f2a9c1b7d4e8f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd"
#define OTHER "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define POD "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
#define POD_IN_SLICE "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9"
#define STATIC_POD "9f8e7d6c5b4a39281706f5e4d3c2b1a0"

static const struct {
	const char *text, *runtime, *id, *pod;
} cases[] = {
	/* Docker: systemd's cgroups, its own, and v1, where some hierarchies are not used */
	{ "0::/system.slice/docker-" ID ".scope\n", "docker", ID, "" },
	{ "0::/docker/" ID "\n", "docker", ID, "" },
	{ "12:memory:/docker/" ID "\n11:cpu,cpuacct:/docker/" ID "\n0::/system.slice/x.service\n",
	  "docker", ID, "" },
	{ "13:misc:/\n12:memory:/docker/" ID "\n", "docker", ID, "" },
	{ "0::/docker/" ID "/system.slice/ssh.service\n", "docker", ID, "" },
	{ "0::/../docker-" ID ".scope\n", "docker", ID, "" }, /* read inside another one */
	/* Kubernetes */
	{ "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_IN_SLICE
	  ".slice/cri-containerd-" ID ".scope\n",
	  "containerd", ID, POD },
	{ "0::/kubepods.slice/kubepods-pod" POD_IN_SLICE ".slice/crio-" ID ".scope/container\n",
	  "cri-o", ID, POD },
	{ "0::/kubepods/besteffort/pod" POD "/" ID "\n", "container", ID, POD },
	{ "0::/kubepods.slice/kubepods-pod" STATIC_POD ".slice/cri-containerd-" ID ".scope\n",
	  "containerd", ID, STATIC_POD },
	{ "0::/system.slice/containerd.service/kubepods-burstable-pod" POD_IN_SLICE
	  ".slice:cri-containerd:" ID "\n",
	  "containerd", ID, POD },
	/* kind: a node is a container, too */
	{ "0::/docker/" OTHER
	  "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" POD_IN_SLICE
	  ".slice/cri-containerd-" ID ".scope\n",
	  "containerd", ID, POD },
	{ "0::/kubepods/pod" POD "/" OTHER "/docker/" ID "\n", "docker", ID, POD },
	/* Podman, root's and a user's */
	{ "0::/machine.slice/libpod-" ID ".scope/container\n", "podman", ID, "" },
	{ "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope\n",
	  "podman", ID, "" },
	{ "0::/libpod_parent/libpod-" ID "\n", "podman", ID, "" },
	{ "0::/machine.slice/machine-libpod_pod_" OTHER ".slice/libpod-" ID ".scope\n", "podman",
	  ID, "" },
	{ "0::/system.slice/nerdctl-" ID ".scope\n", "containerd", ID, "" },
	/* machines */
	{ "0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service\n",
	  "nspawn", "web", "" },
	{ "0::/machine.slice/machine-web\\x2d1.scope/payload\n", "machine", "web-1", "" },
	{ "0::/lxc.payload.db/init.scope\n", "lxc", "db", "" },
	{ "0::/lxc.payload/db\n", "lxc", "db", "" },
	{ "4:memory:/lxc/db\n", "lxc", "db", "" },
};

static void test_paths(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct container container;

		container_parse(cases[i].text, &container);
		if (strcmp(container.id, cases[i].id) != 0)
			fail_msg("%s is in '%s'", cases[i].text, container.id);
		assert_string_equal(container.runtime, cases[i].runtime);
		assert_string_equal(container.pod, cases[i].pod);
	}
}

static void test_what_is_in_none(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"0::/\n",
		"0::\n",
		"0:",
		"no colon at all",
		"0::/user.slice/user-1000.slice/session-2.scope\n",
		/* what watches a container */
		"0::/machine.slice/libpod-conmon-" ID ".scope\n",
		"0::/system.slice/crio-conmon-" ID ".scope\n",
		"0::/machine.slice/systemd-nspawn@web.service/supervisor\n",
		"0::/lxc.monitor.db\n",
		"0::/system.slice/docker.service\n",
		/* a virtual machine */
		"0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/vcpu0\n",
		/* a digit too few, too many, one that is none */
		"0::/docker/3f2a9c1b7d4e8f60718293a4b5c6d7e8f90123456789abcdef0123456789abc\n",
		"0::/docker/" ID "0\n",
		"0::/docker/G" OTHER "\n",
		/* a pod's own group */
		"0::/kubepods/besteffort/pod" POD "\n",
		/* names that would do harm on a screen */
		"0::/machine.slice/machine-a\\x1b[31m.scope\n",
		"0::/lxc/\n",
		"0::/machine.slice/machine-.scope\n",
		"0::/lxc/"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct container container;

		container_parse(texts[i], &container);
		if (*container.id || *container.pod || *container.runtime)
			fail_msg("%s is in '%s'", texts[i], container.id);
	}
}

static void test_pods_that_are_none(void **state)
{
	static const char *const pods[] = { "podman",
					    "pod",
					    "podA" POD,
					    "kubepods-pod-" ID ".slice",
					    "pod0a1b2c3d-4e5f-6071-8293_a4b5c6d7e8f90",
					    "pod0a1b2c3d04e5f-6071-8293-a4b5c6d7e8f9" };

	for (size_t i = 0; i < ARRAY_SIZE(pods); i++) {
		_cleanup_free_ char *text = NULL;
		struct container container;

		assert_true(asprintf(&text, "0::/kubepods/%s/%s\n", pods[i], ID) > 0);
		container_parse(text, &container);
		assert_string_equal(container.id, ID);
		assert_string_equal(container.pod, "");
	}
}

static void test_meant(void **state)
{
	struct container container, machine;

	container_parse("0::/kubepods/besteffort/pod" POD "/" ID "\n", &container);
	assert_true(container_is_meant(&container, ID));
	assert_true(container_is_meant(&container, "3f2a9c1b7d4e"));
	assert_true(container_is_meant(&container, "containerd://" ID));
	assert_true(container_is_meant(&container, POD));
	assert_false(container_is_meant(&container, "3f2a9c1b7d4f"));
	assert_false(container_is_meant(&container, "3f2a9c1b7d4")); /* eleven */
	assert_false(container_is_meant(&container, ""));
	assert_false(container_is_meant(&container, ID "0"));
	assert_false(container_is_meant(&container, "0a1b2c3d-4e5f"));

	container_parse("0::/machine.slice/systemd-nspawn@web.service/payload\n", &machine);
	assert_true(container_is_meant(&machine, "web"));
	assert_false(container_is_meant(&machine, "we"));
	assert_false(container_is_meant(&machine, ""));
	container_parse("0::/\n", &machine);
	assert_false(container_is_meant(&machine, ""));
	assert_false(container_is_meant(&machine, ID));
}

static void test_words(void **state)
{
	assert_true(container_is_word("web"));
	assert_true(container_is_word("3f2a9c1b7d4e"));
	assert_true(container_is_word("docker://" ID));
	assert_true(container_is_word(POD));
	assert_false(container_is_word(""));
	assert_false(container_is_word("docker://"));
	assert_false(container_is_word("3f2a"));
	assert_false(container_is_word("a b"));
	assert_false(container_is_word(ID "0"));
}

static void test_processes(void **state)
{
	struct container container;

	/* whatever this test runs in: it can be read */
	container_of(getpid(), &container);
	assert_non_null(container.runtime);
	container_of(0, &container); /* nobody */
	assert_string_equal(container.id, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_what_is_in_none),
		cmocka_unit_test(test_pods_that_are_none),
		cmocka_unit_test(test_meant),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
