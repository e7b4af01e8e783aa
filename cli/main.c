/* dhatctl: asks a dhatd, prints and exports. */
#include "commandline.h"

int main(int argc, char **argv)
{
	return commandline_run(argc, argv);
}
