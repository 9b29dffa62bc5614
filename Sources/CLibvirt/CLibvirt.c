#include "CLibvirt.h"

#include <stddef.h>

int clibvirt_register_lifecycle(virConnectPtr connection, virConnectDomainEventCallback callback, void *context,
                                virFreeCallback release) {
    return virConnectDomainEventRegisterAny(connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                            VIR_DOMAIN_EVENT_CALLBACK(callback), context, release);
}

static void ignore(void *context, virErrorPtr error) {
    (void)context;
    (void)error;
}

void clibvirt_silence_errors(void) { virSetErrorFunc(NULL, ignore); }

int clibvirt_set_memory_limit(virDomainPtr domain, unsigned long long kibibytes) {
    virTypedParameterPtr parameters = NULL;
    int count = 0, capacity = 0;
    if (virTypedParamsAddULLong(&parameters, &count, &capacity, VIR_DOMAIN_MEMORY_HARD_LIMIT, kibibytes) < 0) return -1;
    int result = virDomainSetMemoryParameters(domain, parameters, count, VIR_DOMAIN_AFFECT_LIVE);
    virTypedParamsFree(parameters, count);
    return result;
}
