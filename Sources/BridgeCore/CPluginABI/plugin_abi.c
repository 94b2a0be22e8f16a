#include "bridge_plugin.h"
