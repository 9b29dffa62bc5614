#define _GNU_SOURCE
#include "CHost.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/xattr.h>
#include <unistd.h>

static int control(unsigned long request, void *argument)
{
    int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0) return errno;
    int reason = ioctl(file, request, argument) == 0 ? 0 : errno;
    close(file);
    return reason;
}

static int name_request(struct ifreq *request, const char *name)
{
    memset(request, 0, sizeof *request);
    if (strlen(name) >= sizeof request->ifr_name) return ENAMETOOLONG;
    strcpy(request->ifr_name, name);
    return 0;
}

int chost_interface_set_up(const char *name, int up)
{
    struct ifreq request;
    int reason = name_request(&request, name);
    if (!reason) reason = control(SIOCGIFFLAGS, &request);
    if (reason) return reason;
    if (up)
        request.ifr_flags |= IFF_UP;
    else
        request.ifr_flags &= ~IFF_UP;
    return control(SIOCSIFFLAGS, &request);
}

int chost_interface_set_hardware_address(const char *name, const uint8_t *address)
{
    struct ifreq request;
    int reason = name_request(&request, name);
    if (reason) return reason;
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, address, 6);
    return control(SIOCSIFHWADDR, &request);
}

static int set_inet(const char *name, unsigned long request_code, uint32_t number)
{
    struct ifreq request;
    int reason = name_request(&request, name);
    if (reason) return reason;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(number)};
    memcpy(&request.ifr_addr, &address, sizeof address);
    return control(request_code, &request);
}

int chost_interface_set_address(const char *name, uint32_t address, uint32_t mask)
{
    int reason = set_inet(name, SIOCSIFADDR, address);
    return reason ? reason : set_inet(name, SIOCSIFNETMASK, mask);
}

int chost_bridge_add(const char *name)
{
    struct ifreq request;
    int reason = name_request(&request, name);
    if (reason) return reason;
    reason = control(SIOCBRADDBR, request.ifr_name);
    return reason == EEXIST ? 0 : reason;
}

static int change_port(const char *bridge, const char *port, unsigned long code)
{
    struct ifreq request;
    int reason = name_request(&request, bridge);
    if (reason) return reason;
    request.ifr_ifindex = (int)if_nametoindex(port);
    if (request.ifr_ifindex == 0) return ENODEV;
    return control(code, &request);
}

int chost_bridge_add_port(const char *bridge, const char *port)
{
    int reason = change_port(bridge, port, SIOCBRADDIF);
    return reason == EBUSY ? 0 : reason;
}

int chost_bridge_remove_port(const char *bridge, const char *port)
{
    return change_port(bridge, port, SIOCBRDELIF);
}

int chost_credit_randomness(const uint8_t *bytes, size_t count)
{
    struct rand_pool_info *pool = malloc(sizeof *pool + count);
    if (!pool) return ENOMEM;
    pool->entropy_count = (int)(count * 8);
    pool->buf_size = (int)count;
    memcpy(pool->buf, bytes, count);
    int file = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    int reason = file < 0 ? errno : ioctl(file, RNDADDENTROPY, pool) == 0 ? 0 : errno;
    if (file >= 0) close(file);
    explicit_bzero(pool, sizeof *pool + count);
    free(pool);
    return reason;
}

int chost_reboot(void)
{
    return reboot(RB_AUTOBOOT) == 0 ? 0 : errno;
}

int chost_spawn_on_terminal(const char *terminal, const char *program, char *const arguments[],
                            char *const environment[], int *process)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int reason = posix_spawn_file_actions_init(&actions);
    if (reason) return reason;
    reason = posix_spawnattr_init(&attributes);
    if (reason) {
        posix_spawn_file_actions_destroy(&actions);
        return reason;
    }
    // The session has no terminal yet when the first file is opened, so that the terminal becomes its own.
    reason = posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0);
    if (!reason) reason = posix_spawn_file_actions_adddup2(&actions, 0, 1);
    if (!reason) reason = posix_spawn_file_actions_adddup2(&actions, 0, 2);
    if (!reason) reason = posix_spawnattr_setsigmask(&attributes, &none);
    if (!reason) reason = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!reason)
        reason = posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t child = 0;
    if (!reason) reason = posix_spawn(&child, program, &actions, &attributes, arguments, environment);
    *process = child;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return reason;
}

void chost_reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int chost_is_delegated(const char *cgroup)
{
    char value = 0;
    return (getxattr(cgroup, "user.delegate", &value, 1) == 1 || getxattr(cgroup, "trusted.delegate", &value, 1) == 1)
        && value == '1';
}
