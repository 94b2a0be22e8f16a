// A target of SwiftPM needs a source; what this one is for is its header.
#include "CFetch.h"
