// The library has one header for three widths; text here is UTF-8.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
