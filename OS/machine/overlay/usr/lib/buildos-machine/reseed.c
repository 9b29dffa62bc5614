/* Gives the kernel's random numbers a new beginning from the hypervisor's device: a machine that goes on from saved
 * memory has those of every other that does (random(4)). Built into the machine by its `finish` script. */
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void) {
    struct {
        struct rand_pool_info info;
        unsigned char bytes[64];
    } seed = {.info = {.entropy_count = 8 * 64, .buf_size = 64}};
    int source = open("/dev/hwrng", O_RDONLY), kernel = open("/dev/random", O_RDWR);
    ssize_t got = 0;

    while (source >= 0 && got < 64) {
        ssize_t count = read(source, (unsigned char *)seed.info.buf + got, 64 - got);
        if (count <= 0) break;
        got += count;
    }
    if (got < 64 || ioctl(kernel, RNDADDENTROPY, &seed) != 0 || ioctl(kernel, RNDRESEEDCRNG) != 0) {
        perror("reseed");
        return 1;
    }
    return 0;
}
