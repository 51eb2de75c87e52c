/* libnvidia-ml.so.1 for machines without a GPU: what it says stands in a file that is mapped into memory.
 *
 * The file is named by NVML_STUB. The structures below are those of stub.py, which fills them while programs run.
 * Only what the exporter calls is here, with the signatures of nvml.h.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GPUS = 16, INSTANCES = 8, SAMPLES = 100, RULES = 32, CALLS = 64, TEXT = 96 };

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    DRIVER_NOT_LOADED = 9,
};

struct sample {
    uint64_t stamp, value;
};

struct instance {
    char uuid[TEXT], name[TEXT];
    uint64_t total, used;
    double busy; /* percent; what GPM says at the next reading */
    uint32_t exists, gpu_instance, compute_instance, slices;
};

struct gpu {
    char uuid[TEXT], name[TEXT];
    uint64_t total, reserved, used, energy;
    uint64_t asked_since; /* what samples were last asked for */
    uint32_t power, temperature, rate, mig_capable, mig, slots, slices, gpm, sample_type, sample_count;
    struct sample samples[SAMPLES];
    struct instance instances[INSTANCES];
};

/* A function that fails, or hangs for as long as `hang` stands. gpu and instance -1: any; instance -2: none. */
struct rule {
    char function[TEXT];
    int32_t gpu, instance, code;
    uint32_t hang, active;
};

struct call {
    char function[TEXT];
    uint64_t count;
};

struct state {
    uint64_t size;       /* of this structure, as stub.py sees it */
    uint32_t generation; /* of the driver: a new one knows nothing of who was there before; 0: not loaded */
    uint32_t count;
    int64_t gpm_samples; /* allocated and not freed */
    struct rule rules[RULES];
    struct call calls[CALLS];
    struct gpu gpus[GPUS];
};

static struct state *state;
static uint32_t session; /* the generation that was initialised; 0: none */

static struct state *map(void)
{
    const char *path = getenv("NVML_STUB");
    int file = path ? open(path, O_RDWR) : -1;
    void *at = file < 0 ? MAP_FAILED : mmap(0, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    if (at == MAP_FAILED || ((struct state *)at)->size != sizeof(struct state))
        return 0;
    return at;
}

static int instance_of(const struct gpu *gpu, const void *device)
{
    for (int i = 0; i < INSTANCES; i++)
        if (device == &gpu->instances[i])
            return i;
    return -1;
}

/* The GPU that a handle is, or is an instance of. */
static struct gpu *gpu_of(void *device)
{
    for (int i = 0; i < GPUS; i++)
        if (device == &state->gpus[i] || instance_of(&state->gpus[i], device) >= 0)
            return &state->gpus[i];
    return 0;
}

static struct instance *instance_at(void *device)
{
    struct gpu *gpu = gpu_of(device);
    return gpu && instance_of(gpu, device) >= 0 ? device : 0;
}

static void count(const char *function)
{
    struct call *call = state->calls;
    while (call < state->calls + CALLS - 1 && call->function[0] && strcmp(call->function, function))
        call++;
    strcpy(call->function, function);
    __atomic_add_fetch(&call->count, 1, __ATOMIC_SEQ_CST);
}

/* What every call does first: be counted, hang, fail. */
static int enter(const char *function, void *device)
{
    if (!state && !(state = map()))
        return DRIVER_NOT_LOADED;
    count(function);
    struct gpu *gpu = device ? gpu_of(device) : 0;
    int code = SUCCESS;
    for (struct rule *rule = state->rules; rule < state->rules + RULES; rule++) {
        if (!__atomic_load_n(&rule->active, __ATOMIC_ACQUIRE) || (rule->function[0] && strcmp(rule->function, function)))
            continue;
        if (rule->gpu >= 0 && gpu != &state->gpus[rule->gpu])
            continue;
        if (rule->instance != -1 && (!gpu || instance_of(gpu, device) != (rule->instance == -2 ? -1 : rule->instance)))
            continue;
        while (__atomic_load_n(&rule->hang, __ATOMIC_ACQUIRE))
            usleep(500);
        code = rule->code;
    }
    if (code)
        return code;
    if (!strcmp(function, "nvmlInitWithFlags"))
        return state->generation ? SUCCESS : DRIVER_NOT_LOADED;
    if (!session || session != state->generation)
        return UNINITIALIZED;
    return device && !gpu ? INVALID_ARGUMENT : SUCCESS;
}

#define ENTER(device)                       \
    int code = enter(__func__, device);     \
    if (code)                               \
        return code;

#define WHOLE(device)                       \
    ENTER(device)                           \
    if (instance_at(device))                \
        return NOT_SUPPORTED;               \
    struct gpu *gpu = device;

static int text(char *to, unsigned room, const char *from)
{
    strncpy(to, from, room);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    ENTER(0)
    session = state->generation;
    return SUCCESS;
}

int nvmlShutdown(void)
{
    ENTER(0)
    session = 0;
    return SUCCESS;
}

const char *nvmlErrorString(int code)
{
    (void)code;
    return "said by the stub";
}

int nvmlDeviceGetCount_v2(unsigned *number)
{
    ENTER(0)
    *number = state->count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (state && index < GPUS)
        *device = &state->gpus[index];
    ENTER(state && index < GPUS ? *device : 0)
    return index < state->count ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned room)
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    return text(uuid, room, instance ? instance->uuid : gpu_of(device)->uuid);
}

int nvmlDeviceGetName(void *device, char *name, unsigned room)
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    return text(name, room, instance ? instance->name : gpu_of(device)->name);
}

int nvmlDeviceGetMemoryInfo(void *device, uint64_t memory[3]) /* total, free, used */
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    struct gpu *gpu = gpu_of(device);
    memory[0] = instance ? instance->total : gpu->total;
    memory[2] = instance ? instance->used : gpu->used + gpu->reserved;
    memory[1] = memory[0] - memory[2];
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, uint64_t memory[5]) /* version, total, reserved, free, used */
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    struct gpu *gpu = gpu_of(device);
    if ((uint32_t)memory[0] != 0x02000028)
        return 25;
    memory[1] = instance ? instance->total : gpu->total;
    memory[2] = instance ? 0 : gpu->reserved;
    memory[4] = instance ? instance->used : gpu->used;
    memory[3] = memory[1] - memory[2] - memory[4];
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    WHOLE(device)
    *milliwatts = gpu->power;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, uint64_t *millijoules)
{
    WHOLE(device)
    *millijoules = gpu->energy;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *degrees)
{
    WHOLE(device)
    *degrees = gpu->temperature;
    return sensor ? INVALID_ARGUMENT : SUCCESS;
}

struct temperature {
    unsigned version;
    int sensor, degrees;
};

int nvmlDeviceGetTemperatureV(void *device, struct temperature *temperature)
{
    WHOLE(device)
    temperature->degrees = (int)gpu->temperature;
    return temperature->sensor ? INVALID_ARGUMENT : SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned rates[2]) /* gpu, memory */
{
    WHOLE(device)
    rates[0] = gpu->rate;
    return gpu->mig ? NOT_SUPPORTED : SUCCESS;
}

/* As the real one: without room it says how much there could be; with room, NOT_FOUND where nothing is newer. */
int nvmlDeviceGetSamples(void *device, int kind, uint64_t since, int *type, unsigned *number, struct sample *samples)
{
    WHOLE(device)
    if (gpu->mig || kind != 1)
        return NOT_SUPPORTED;
    *type = (int)gpu->sample_type;
    gpu->asked_since = since;
    if (!samples) {
        *number = SAMPLES;
        return SUCCESS;
    }
    unsigned found = 0;
    for (unsigned i = 0; i < gpu->sample_count && found < *number; i++)
        if (gpu->samples[i].stamp > since)
            samples[found++] = gpu->samples[i];
    *number = found;
    return found ? SUCCESS : NOT_FOUND;
}

int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *pending)
{
    WHOLE(device)
    *now = *pending = gpu->mig;
    return gpu->mig_capable ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(void *device, unsigned *number)
{
    WHOLE(device)
    *number = gpu->slots;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **instance)
{
    WHOLE(device)
    if (!gpu->mig || index >= INSTANCES || !gpu->instances[index].exists)
        return NOT_FOUND;
    *instance = &gpu->instances[index];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(void *device, unsigned *id)
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    if (!instance)
        return INVALID_ARGUMENT;
    *id = instance->gpu_instance;
    return SUCCESS;
}

int nvmlDeviceGetComputeInstanceId(void *device, unsigned *id)
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    if (!instance)
        return INVALID_ARGUMENT;
    *id = instance->compute_instance;
    return SUCCESS;
}

struct attributes {
    unsigned multiprocessors, engines[5], gpu_instance_slices, compute_instance_slices;
    uint64_t megabytes;
};

int nvmlDeviceGetAttributes_v2(void *device, struct attributes *attributes)
{
    ENTER(device)
    struct instance *instance = instance_at(device);
    if (!instance)
        return INVALID_ARGUMENT;
    attributes->gpu_instance_slices = attributes->compute_instance_slices = instance->slices;
    return SUCCESS;
}

struct profile { /* of version 2: the version comes before it */
    unsigned id, p2p, slices;
};

static int profile_of(struct gpu *gpu, unsigned id, struct profile *profile)
{
    static const unsigned slices[] = {1, 2, 3, 4, 7, 8, 6, 1, 2, 1};
    if (id >= sizeof slices / sizeof *slices || slices[id] > gpu->slices)
        return NOT_SUPPORTED;
    profile->slices = slices[id];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceProfileInfo(void *device, unsigned id, struct profile *profile)
{
    WHOLE(device)
    return profile_of(gpu, id, profile);
}

int nvmlDeviceGetGpuInstanceProfileInfoV(void *device, unsigned id, unsigned *versioned)
{
    WHOLE(device)
    return profile_of(gpu, id, (struct profile *)(versioned + 1));
}

/* GPM: a sample remembers what its instance's `busy` was when it was taken. */

struct gpm_sample {
    double busy;
    int taken;
};

struct gpm_support {
    unsigned version, supported;
};

struct gpm_query {
    unsigned version, metrics;
    struct gpm_sample *before, *after;
    struct {
        unsigned id;
        int code;
        double value;
        const char *names[3];
    } metric;
};

int nvmlGpmQueryDeviceSupport(void *device, struct gpm_support *support)
{
    WHOLE(device)
    support->supported = gpu->gpm;
    return SUCCESS;
}

int nvmlGpmSampleAlloc(struct gpm_sample **sample)
{
    ENTER(0)
    *sample = calloc(1, sizeof **sample);
    state->gpm_samples++;
    return SUCCESS;
}

int nvmlGpmSampleFree(struct gpm_sample *sample)
{
    count(__func__);
    if (!session)
        return UNINITIALIZED; /* the real one crashes */
    free(sample);
    state->gpm_samples--;
    return SUCCESS;
}

int nvmlGpmMigSampleGet(void *device, unsigned gpu_instance, struct gpm_sample *sample)
{
    WHOLE(device)
    for (struct instance *instance = gpu->instances; instance < gpu->instances + INSTANCES; instance++)
        if (instance->exists && instance->gpu_instance == gpu_instance) {
            sample->busy = instance->busy;
            sample->taken = 1;
            return SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlGpmMetricsGet(struct gpm_query *query)
{
    ENTER(0)
    if (query->version != 1 || query->metrics != 1 || !query->before->taken || !query->after->taken)
        return INVALID_ARGUMENT;
    query->metric.code = query->metric.id == 1 ? SUCCESS : NOT_SUPPORTED;
    query->metric.value = query->after->busy;
    return SUCCESS;
}
