#pragma once
#include <libvirt/libvirt.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

/// virConnectDomainEventRegisterAny with VIR_DOMAIN_EVENT_ID_LIFECYCLE of every domain: libvirt declares all callbacks as
/// one type and wants them cast, which Swift can't. The number to deregister by, or -1.
int clibvirt_register_lifecycle(virConnectPtr connection, virConnectDomainEventCallback callback, void *context,
                                virFreeCallback release);

/// Keeps libvirt from printing every error of this process to standard error; they are returned as well.
void clibvirt_silence_errors(void);

/// Sets the hard limit of a running domain's memory on its host, in KiB. 0 on success, -1 on failure.
int clibvirt_set_memory_limit(virDomainPtr domain, unsigned long long kibibytes);
