// A plugin in plain C with one kernel, y = cap * tanh(x / cap):
//
//     cc -O2 -shared -fPIC -I Sources/BridgeCore/CPluginABI/include -o libSoftcapPlugin.so Examples/Plugins/Softcap/softcap.c -lm
//
// A family of another plugin calls it: `try weights.kernels.kernel("softcap")([x], [30])`.
#include <bridge_plugin.h>
#include <math.h>
#include <stddef.h>

int32_t softcap(const float *x, double cap, float *y, int64_t rows, int64_t width) {
    if (!(cap > 0)) return 1;
    for (int64_t i = 0; i < rows * width; i++) y[i] = (float)(cap * tanh(x[i] / cap));
    return 0;
}

// dy/dx = 1 - tanh(x / cap)^2
int32_t softcap_backward(
    const float *x, double cap, const float *gradient, float *into_x, int64_t rows, int64_t width
) {
    for (int64_t i = 0; i < rows * width; i++) {
        double t = tanh(x[i] / cap);
        into_x[i] = (float)(gradient[i] * (1 - t * t));
    }
    return 0;
}

static const bridge_kernel kernels[] = {
    {"softcap", "x: float32[N, D], cap: double -> y: float32[N, D]", "softcap", "softcap_backward"},
};

static const bridge_kernel_table table = {sizeof(bridge_kernel), 1, kernels};

const bridge_kernel_table *bridge_plugin_kernels(void) { return &table; }

static const bridge_plugin_descriptor descriptor = {
    BRIDGE_PLUGIN_ABI_VERSION, sizeof(bridge_plugin_descriptor), NULL, NULL, "softcap", "1.0.0",
};

const bridge_plugin_descriptor *bridge_plugin_abi(void) { return &descriptor; }
