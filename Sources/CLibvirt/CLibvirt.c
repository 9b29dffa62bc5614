#include "CLibvirt.h"

#include <stdlib.h>

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

int clibvirt_get_memory_limit(virDomainPtr domain, unsigned long long *kibibytes) {
    int count = 0;
    *kibibytes = 0;
    if (virDomainGetMemoryParameters(domain, NULL, &count, 0) < 0) return -1;
    if (count == 0) return 0;
    virTypedParameterPtr parameters = calloc((size_t)count, sizeof *parameters);
    if (parameters == NULL) return -1;
    int result = virDomainGetMemoryParameters(domain, parameters, &count, 0);
    if (result == 0) {
        unsigned long long limit = 0;
        result = virTypedParamsGetULLong(parameters, count, VIR_DOMAIN_MEMORY_HARD_LIMIT, &limit);
        if (result == 1 && limit != VIR_DOMAIN_MEMORY_PARAM_UNLIMITED) *kibibytes = limit;
    }
    virTypedParamsFree(parameters, count);
    return result < 0 ? -1 : 0;
}
