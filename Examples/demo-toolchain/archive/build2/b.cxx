// The build system of the demonstration toolchain: it says its version, and that everything is up to date.
#include <cstdio>
#include <cstring>

#include "version.h"

int main(int argc, char* argv[]) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--version") == 0) {
      std::printf("build2 %s\nlibbutl %s\nhost x86_64-linux-gnu\n", DEMO_VERSION, DEMO_VERSION);
      return 0;
    }
  }
  std::fprintf(stderr, "info: everything is up to date\n");
  return 0;
}
