#pragma once
#include <stddef.h>
#include <stdint.h>

// Linux calls that Swift can't make because they are variadic, are macros or are left out of its Glibc module. Each
// returns 0 or an errno.

/// Sets or clears IFF_UP of an interface (netdevice(7)).
int chost_interface_set_up(const char *name, int up);
/// Sets the Ethernet address of an interface: six bytes.
int chost_interface_set_hardware_address(const char *name, const uint8_t *address);
/// Sets the IPv4 address and mask of an interface, both in host byte order.
int chost_interface_set_address(const char *name, uint32_t address, uint32_t mask);
/// Makes a bridge; one that is there is not an error.
int chost_bridge_add(const char *name);
/// Puts an interface into a bridge; one that is in it already is not an error.
int chost_bridge_add_port(const char *bridge, const char *port);
/// Takes an interface out of a bridge.
int chost_bridge_remove_port(const char *bridge, const char *port);

/// Mixes bytes into the kernel's random numbers and counts them as random (random(4)).
int chost_credit_randomness(const uint8_t *bytes, size_t count);

/// Whether systemd has handed a control group over to whoever runs in it (`Delegate=`, systemd.resource-control(5)): 0 or 1.
int chost_is_delegated(const char *cgroup);

/// Restarts the machine at once.
int chost_reboot(void);

/// Starts a program as leader of a session of its own, with a terminal as its controlling terminal and its standard
/// input, output and error. `arguments` and `environment` end with a null pointer.
int chost_spawn_on_terminal(const char *terminal, const char *program, char *const arguments[],
                            char *const environment[], int *process);
/// Gives every signal its standard action and blocks none: what the next program expects.
void chost_reset_signals(void);
